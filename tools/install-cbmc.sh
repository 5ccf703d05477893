#!/bin/sh
# Puts CBMC, the bounded model checker that `heapwright prove` runs on the C core, into a folder of its own.
#
#     tools/install-cbmc.sh [PREFIX]        default: build/cbmc beside the checkout's other products
#
# Debian 12 has no CBMC; Debian 13 has. Its package and the few libraries that it needs are downloaded by apt itself, which
# checks their signatures, and unpacked: nothing is installed, no root is needed, the system's package lists stay as they
# are. The program runs on the C library that was unpacked with it, so the host's may be older.
set -eu
cd "$(dirname "$0")/.."
prefix=${1:-build/cbmc}
suite=trixie
packages="cbmc libc6 libstdc++6 libgcc-s1 gcc-14-base minisat zlib1g"

for tool in apt-get dpkg-deb; do
    command -v $tool >/dev/null || {
        echo "install-cbmc: needs $tool. Without it: install cbmc >= 6 in your system's way; \`heapwright prove\` takes it from PATH." >&2
        exit 1
    }
done
mkdir -p "$prefix/apt/lists/partial" "$prefix/apt/archives/partial"
prefix=$(cd "$prefix" && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$prefix/apt/sources.list"
apt() {
    apt-get -q -o Dir::Etc::sourcelist="$prefix/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$prefix/apt/lists" -o Dir::Cache="$prefix/apt" -o APT::Sandbox::User=root "$@"
}
apt update >&2
(cd "$prefix/apt/archives" && apt download $packages >&2)
for archive in "$prefix"/apt/archives/*.deb; do dpkg-deb -x "$archive" "$prefix/root"; done
rm -rf "$prefix/apt"

# The binary names its loader by an absolute path; this calls the one that came with it.
library=$(cd "$prefix/root/usr/lib" && ls -d *-linux-gnu)
loader=$(find "$prefix/root/usr/lib/$library" "$prefix/root/usr/lib64" -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
cat >"$prefix/cbmc" <<WRAPPER
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
exec "\$here${loader#"$prefix"}" --library-path "\$here/root/usr/lib/$library:\$here/root/usr/lib" "\$here/root/usr/bin/cbmc" "\$@"
WRAPPER
chmod +x "$prefix/cbmc"
echo "$prefix/cbmc $("$prefix/cbmc" --version)"
