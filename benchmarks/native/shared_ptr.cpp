// A million counted nodes: cloning and dropping a handle, std::shared_ptr beside the shared graph, the same loop over the same
// order. Prints ns of CPU for a pair, one line each, alternating.
//
//     shared_ptr [nodes] [rounds]
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <thread>
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

static double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

int main(int argc, char **argv) {
    uint32_t nodes = argc > 1 ? uint32_t(atoi(argv[1])) : 1000000, rounds = argc > 2 ? uint32_t(atoi(argv[2])) : 5;
    std::thread([] {}).join(); // libstdc++ counts without atomics until a thread was started
    std::vector<std::shared_ptr<payload>> shared;
    std::vector<uint32_t> order(nodes);
    uint64_t state = 88172645463325252u;
    for (uint32_t i = 0; i < nodes; i++) {
        shared.push_back(std::make_shared<payload>(payload{int64_t(i), 0.5}));
        order[i] = i;
    }
    graph_for_bench *graph = bench_graph_new(nodes);
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        for (uint32_t i = nodes; shuffled && i > 1; i--) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            std::swap(order[i - 1], order[state % i]);
        }
        for (uint32_t round = 0; round < rounds; round++) {
            uint64_t sum = 0;
            double start = cpu_seconds();
            for (uint32_t i = 0; i < nodes; i++) {
                std::shared_ptr<payload> copy = shared[order[i]];
                sum += copy.use_count() > 1;
            }
            double middle = cpu_seconds();
            sum += bench_graph_pairs(graph, order.data(), nodes, 1);
            double end = cpu_seconds();
            if (sum != 2 * uint64_t(nodes)) return 1;
            printf("%s shared_ptr %.2f graph %.2f\n", shuffled ? "shuffled" : "sequential", (middle - start) / nodes * 1e9,
                   (end - middle) / nodes * 1e9);
        }
    }
}
