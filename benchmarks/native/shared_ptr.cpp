// A million counted nodes: cloning and dropping a handle, the same loop over the same order, where the count lies
//
//     shared_ptr(new)   in a block of its own, beside the payload: std::shared_ptr of what was there before
//     make_shared       in one block with the payload
//     intrusive         in the payload itself, by hand: a pointer, and one atomic number
//     shared graph      in a table of ours; the payload knows nothing of it
//
// Prints ns of CPU for a pair, one line for each, in turns.
//
//     shared_ptr [nodes] [rounds]
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

// C's atomics and C++'s share their layout here (both are lock-free words); the header speaks C.
extern "C" {
struct graph_for_bench;
graph_for_bench *bench_graph_new(uint32_t nodes);
uint64_t bench_graph_pairs(graph_for_bench *graph, const uint32_t *order, uint32_t nodes, uint32_t rounds);
}

struct payload {
    int64_t key;
    double value;
};

struct counted_payload {
    payload value;
    std::atomic<uint32_t> owners{1};
};

// With the orders that the others count by, and the test for the last one.
class intrusive {
    counted_payload *at;

  public:
    explicit intrusive(counted_payload *fresh) : at(fresh) {}
    intrusive(const intrusive &other) : at(other.at) { at->owners.fetch_add(1, std::memory_order_relaxed); }
    intrusive(intrusive &&other) noexcept : at(std::exchange(other.at, nullptr)) {}
    intrusive &operator=(const intrusive &) = delete;
    ~intrusive() {
        if (at != nullptr && at->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete at;
    }
    bool is_shared() const { return at->owners.load(std::memory_order_relaxed) > 1; }
};

static bool is_shared(const std::shared_ptr<payload> &handle) { return handle.use_count() > 1; }
static bool is_shared(const intrusive &handle) { return handle.is_shared(); }

static double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

template <typename Handle> static uint64_t pairs(const std::vector<Handle> &handles, const std::vector<uint32_t> &order) {
    uint64_t seen = 0;
    for (uint32_t i : order) {
        Handle copy = handles[i];
        seen += is_shared(copy);
    }
    return seen;
}

template <typename Loop> static void measure(const char *order, const char *name, uint32_t nodes, Loop loop) {
    double start = cpu_seconds();
    if (loop() != nodes) abort();
    printf("%s\t%s\t%.2f\n", order, name, (cpu_seconds() - start) / nodes * 1e9);
}

int main(int argc, char **argv) {
    uint32_t nodes = argc > 1 ? uint32_t(atoi(argv[1])) : 1000000, rounds = argc > 2 ? uint32_t(atoi(argv[2])) : 5;
    std::thread([] {}).join(); // libstdc++ counts without atomics until a thread was started
    std::vector<std::shared_ptr<payload>> apart, together;
    std::vector<intrusive> inside;
    std::vector<uint32_t> order(nodes);
    uint64_t state = 88172645463325252u;
    inside.reserve(nodes);
    for (uint32_t i = 0; i < nodes; i++) apart.push_back(std::shared_ptr<payload>(new payload{int64_t(i), 0.5}));
    for (uint32_t i = 0; i < nodes; i++) together.push_back(std::make_shared<payload>(payload{int64_t(i), 0.5}));
    for (uint32_t i = 0; i < nodes; i++) inside.push_back(intrusive(new counted_payload{{int64_t(i), 0.5}}));
    for (uint32_t i = 0; i < nodes; i++) order[i] = i;
    graph_for_bench *graph = bench_graph_new(nodes);
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        const char *name = shuffled ? "shuffled" : "sequential";
        for (uint32_t i = nodes; shuffled && i > 1; i--) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            std::swap(order[i - 1], order[state % i]);
        }
        for (uint32_t round = 0; round < rounds; round++) {
            measure(name, "shared_ptr(new)", nodes, [&] { return pairs(apart, order); });
            measure(name, "make_shared", nodes, [&] { return pairs(together, order); });
            measure(name, "intrusive", nodes, [&] { return pairs(inside, order); });
            measure(name, "shared graph", nodes, [&] { return bench_graph_pairs(graph, order.data(), nodes, 1); });
        }
    }
}
