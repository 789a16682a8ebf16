// Watches every load and store that the kernels make on the emulated machine. Their translation
// unit is compiled a second time with -fsanitize=thread, for which the compiler calls a function at
// each access, and linked with own definitions of these functions instead of ThreadSanitizer's
// (tsan_hooks.cpp), which knows nothing of fibers. docs/decisions/kernel-tracer.md says why.
//
// Two judges listen: RaceDetector (what is not ordered) and TrafficMeter (what is moved). One
// thread of the host at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace elbeam::kernels::emulated {

enum class Space : std::uint8_t { kShared, kGlobal };

// An access of the running thread; addresses are those of the emulated memory.
struct TracedAccess {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Space space = Space::kShared;
  bool writes = false;
  bool async = false;              // by a bulk copy or a warpgroup's product
  void* where = nullptr;           // behind the instruction
  std::uintptr_t array_begin = 0;  // of the allocation, or of shared memory
  std::size_t array_bytes = 0;
};

// What is wrong with an access.
enum class Fault : std::uint8_t {
  kThreads,        // another thread of the block has used the bytes, and nothing orders the two
  kBlocks,         // another block has
  kInFlight,       // the bytes are still being copied
  kUnfenced,       // an asynchronous use of what was written without a fence for it
  kUninitialised,  // shared memory that nothing has been written to
  kGuard,          // the guard bands of DeviceArray
};
const char* name_of(Fault fault);

struct Report {
  std::string kernel;
  Space space = Space::kShared;
  std::uintptr_t offset = 0;  // of the first such access, in its array or shared memory
  int threads[2] = {-1, -1};  // the one before and this one
  int blocks[2] = {-1, -1};
  const char* operations[2] = {"", ""};
  std::int64_t count = 1;
};

// Reports by what is wrong and the two places in the code.
using Reports = std::map<std::tuple<Fault, void*, void*>, Report>;
std::string to_text(const Reports& reports);

// Resolves a place to "file:line" by addr2line, or to an address where there is none.
std::string line_of(void* where);

class RaceDetector {
 public:
  void begin_launch() { ++launch_; }
  void begin_block() { ++block_count_; }
  void access(const TracedAccess& access) { visit(access, Visit::kAccess); }
  // Bytes that arrive at some time between the two.
  void copy_starts(const TracedAccess& to) { visit(to, Visit::kStart); }
  void copy_arrives(const TracedAccess& to) { visit(to, Visit::kArrival); }
  // In that phase of a barrier, which other threads may wait for as well.
  void bulk_arrives(const TracedAccess& to, int barrier, std::uint64_t phase);
  void beside_array(const TracedAccess& access);
  void clear();
  const Reports& reports() const { return reports_; }

 private:
  enum class Visit : std::uint8_t { kAccess, kStart, kArrival };
  struct Event {
    std::int16_t thread = -1;
    bool writes = false;
    bool in_flight = false;
    bool async = false;
    std::int16_t rank = 0;      // of the block in its cluster
    std::int16_t barrier = -1;  // in whose phase the bytes have arrived
    std::int32_t block = -1;    // number of the block in the grid
    std::uint32_t barriers = 0;
    std::uint32_t warp_barriers = 0;
    std::uint32_t cluster_arrivals = 0;
    std::uint32_t cluster_waits = 0;
    std::uint32_t fences = 0;
    std::uint32_t phase = 0;
    void* where = nullptr;
  };
  // Two bytes of memory; kernels store nothing smaller. Of the reads since the last write, those
  // are kept that decide whether any thread's write would be a race: two of different warps where
  // there are such since the last barrier, else two lanes of one warp; and readers of two blocks.
  struct Cell {
    std::uint64_t life = 0;  // the launch (global) or block (shared) that the rest is of
    Event write;
    Event reads[2];
    Event readers[2];
  };
  static constexpr std::uintptr_t kCellBytes = 2;

  void visit(const TracedAccess& access, Visit how);
  void visit_cell(Cell& cell, const TracedAccess& access, Visit how, const Event& now);
  void note_read(Cell& cell, const Event& now);
  void report(Fault fault, const TracedAccess& access, const Event& before, const Event& now);
  std::vector<Cell>& cells_of(const TracedAccess& access);
  static Event event_now(const TracedAccess& access);
  static bool ordered(const Event& before, const Event& now);
  static bool apart(const Event& before, const Event& now);

  std::uint64_t launch_ = 0;
  std::uint64_t block_count_ = 0;
  std::map<std::uintptr_t, std::vector<Cell>> global_;
  std::vector<Cell> shared_;
  Reports reports_;
};

// What a kernel moved between one array and the multiprocessors, or to and from shared memory.
struct Traffic {
  std::int64_t requests = 0;      // of a warp: one instruction, all lanes
  std::int64_t used_bytes = 0;    // that the lanes asked for, each byte once a request
  std::int64_t moved_bytes = 0;   // global: 32 for each sector that a request touches
  std::int64_t memory_bytes = 0;  // global: of these, what the second-level cache had to fetch, or
                                  // to write back
  std::int64_t floor_bytes = 0;   // global: sectors of the launch, each once
  std::int64_t wavefronts = 0;    // shared: turns that the 32 banks of 4 bytes need
  std::int64_t ideal_wavefronts = 0;

  Traffic& operator+=(const Traffic& other);
};

class TrafficMeter {
 public:
  struct Key {
    std::string kernel;
    std::string array;  // as named by name_array(), "" of others; "shared" for shared memory
    bool writes = false;
    auto operator<=>(const Key&) const = default;
  };

  // Sectors that the second-level cache holds, least recently used leave first. Empties it.
  void set_cache(std::int64_t bytes);
  void name_array(const void* begin, std::int64_t bytes, const std::string& name);
  // Forgets names and traffic; the cache keeps what it holds.
  void clear();

  void begin_launch(const char* kernel);
  void access(const TracedAccess& access);
  // 16 bytes of a bulk copy.
  void bulk_reads(const TracedAccess& access);
  // After this, all accesses so far are counted.
  void finish_block();
  // Bytes that something else than a traced kernel moves: the products.
  void move(const std::string& kernel, const void* begin, std::int64_t bytes, bool writes);

  const std::map<Key, Traffic>& traffic() const { return traffic_; }
  // By line of the code, for reports: (kernel, where, writes).
  using Site = std::tuple<std::string, void*, bool>;
  const std::map<Site, Traffic>& sites() const { return sites_; }

 private:
  // What the lanes of a warp access with one instruction.
  struct Request {
    TracedAccess first;
    std::vector<std::pair<int, std::uintptr_t>> lanes;  // lane, address
  };
  // The requests of a warp since its last barrier, shuffle or vote. The n-th time that a lane comes
  // to an instruction belongs to the n-th time of the other lanes.
  struct Pending {
    std::uint64_t epoch[2] = {0, 0};
    std::map<std::pair<void*, int>, std::size_t> places;  // in requests
    std::map<std::pair<void*, int>, int> times;           // of a lane at an instruction
    std::vector<Request> requests;
  };
  struct Line {
    std::list<std::uintptr_t>::iterator age;
    bool dirty = false;
  };
  void count(const Request& request);
  void count_banks(const Request& request, Traffic& traffic) const;
  void move_sector(std::uintptr_t sector, bool writes, Traffic& traffic);
  void finish(Pending& warp);
  void count_sectors(const std::vector<std::uintptr_t>& addresses, const TracedAccess& first,
                     Traffic& traffic);
  Key key_of(std::uintptr_t array, Space space, bool writes) const;

  std::string kernel_;
  std::map<Key, Traffic> traffic_;
  std::map<Site, Traffic> sites_;
  std::map<std::uintptr_t, std::pair<std::uintptr_t, std::string>> names_;  // begin: end, name
  std::vector<Pending> warps_;
  std::unordered_set<std::uintptr_t> touched_[2];  // sectors of this launch: read, written
  std::uintptr_t bulk_end_ = 0;                    // of the vector that a bulk copy has read last
  std::size_t cache_sectors_ = 0;
  std::list<std::uintptr_t> ages_;  // the most recently used first
  std::unordered_map<std::uintptr_t, Line> cache_;
};

// Where the judges are switched on, and what the instrumentation calls.
class Tracer {
 public:
  static Tracer& instance();
  // Listens to the emulated machine from now on.
  void start();
  void stop();

  RaceDetector races;
  TrafficMeter traffic;
  bool detect_races = true;
  bool measure_traffic = false;
  // Allocations begin and end with guard bands of this many bytes, which no kernel may touch.
  std::size_t guard_bytes = 0;
  std::int64_t accesses = 0;

  void access(const void* address, std::size_t bytes, bool writes, void* where);
  void copy_starts(void* to, const void* from, void* where);
  void copy_arrives(void* to, const void* from);
  void bulk_starts(void* to, const void* from, void* where);
  void bulk_arrives(void* to, int barrier, std::uint64_t phase);
  void product_reads(const void* from, void* where);
  void begin_launch();
  void begin_block();
  void end_block();

 private:
  // False for what is neither shared nor the device's memory: stacks, arguments, the machine.
  bool locate(TracedAccess& access);
  // Of 16 bytes by an asynchronous operation.
  static TracedAccess asynchronous(const void* address, bool writes, void* where);
  bool in_block_ = false;
  std::uintptr_t last_begin_ = 0;  // the allocation that was found last
  std::size_t last_bytes_ = 0;
};

}  // namespace elbeam::kernels::emulated
