#include "base/check.hpp"
#include "device/trace/tracer.hpp"
#include "kernels/emulated/async.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <memory>

namespace elbeam::kernels::emulated {
namespace {

std::int32_t block_number() {
  return block_x() +
         machine.shape.grid[0] * (machine.block[1] + machine.shape.grid[1] * machine.block[2]);
}

}  // namespace

const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::kThreads:
      return "race of threads";
    case Fault::kBlocks:
      return "race of blocks";
    case Fault::kInFlight:
      return "use of bytes that are being copied";
    case Fault::kUnfenced:
      return "asynchronous use of bytes without a fence";
    case Fault::kUninitialised:
      return "read of shared memory that was not written";
    case Fault::kGuard:
      return "access beside an array";
  }
  return "";
}

std::string line_of(void* where) {
  Dl_info info{};
  if (where == nullptr || dladdr(where, &info) == 0) return "?";
  const auto offset =
      reinterpret_cast<std::uintptr_t>(where) - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  char address[32];
  std::snprintf(address, sizeof address, "0x%zx", static_cast<std::size_t>(offset - 1));
  // The innermost inlined call comes first.
  const std::string command =
      concat("addr2line -s -i -e '", info.dli_fname, "' ", address, " 2>/dev/null");
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char line[256];
  while (pipe != nullptr && std::fgets(line, sizeof line, pipe.get()) != nullptr) {
    std::string place(line);
    place = place.substr(0, place.find_first_of(" \n"));
    if (place.find('?') != std::string::npos) break;
    if (!text.empty()) text += " < ";
    text += place;
    if (text.size() > 120) break;
  }
  return text.empty() ? address : text;
}

std::string to_text(const Reports& reports) {
  std::string text;
  for (const auto& [key, report] : reports) {
    const auto& [fault, before, now] = key;
    text += concat(name_of(fault), " in ", report.kernel, ": ", report.operations[1], " by thread ",
                   report.threads[1], " of block ", report.blocks[1], " at ", line_of(now));
    if (report.threads[0] >= 0) {
      text += concat(", after ", report.operations[0], " by thread ", report.threads[0],
                     " of block ", report.blocks[0], " at ", line_of(before));
    }
    text += concat(", byte ", report.offset,
                   report.space == Space::kShared ? " of shared memory (" : " of an array (",
                   report.count, " times)\n");
  }
  return text;
}

void RaceDetector::beside_array(const TracedAccess& access) {
  report(Fault::kGuard, access, Event{}, event_now(access));
}

void RaceDetector::clear() {
  global_.clear();
  shared_.clear();
  reports_.clear();
}

// Only barriers order what threads do: CUDA's shuffles and votes are no fences.
bool RaceDetector::ordered(const Event& before, const Event& now) {
  // What arrives by a bulk copy is seen by who has waited for it, its own thread or not.
  if (before.barrier >= 0 && has_waited(now.thread, before.barrier, before.phase)) return true;
  if (before.thread == now.thread && before.barrier < 0) return true;
  if (now.cluster_waits > before.cluster_arrivals) return true;
  if (before.rank != now.rank) return false;
  if (before.barriers != now.barriers) return true;
  return before.thread / 32 == now.thread / 32 && before.warp_barriers != now.warp_barriers;
}

// Of blocks that no barrier ever orders.
bool RaceDetector::apart(const Event& before, const Event& now) {
  return before.block != now.block && before.block - before.rank != now.block - now.rank;
}

RaceDetector::Event RaceDetector::event_now(const TracedAccess& access) {
  const Fiber& fiber = *machine.current;
  Event now;
  now.thread = static_cast<std::int16_t>(fiber.index);
  now.writes = access.writes;
  now.async = access.async;
  now.rank = static_cast<std::int16_t>(fiber.rank);
  now.block = block_number();
  now.barriers =
      static_cast<std::uint32_t>(machine.blocks[static_cast<std::size_t>(fiber.rank)].barriers);
  now.warp_barriers = static_cast<std::uint32_t>(
      machine.warps[static_cast<std::size_t>(fiber.index / 32)].barriers);
  now.cluster_arrivals = fiber.cluster_arrivals;
  now.cluster_waits = fiber.cluster_waits;
  now.fences = fiber.proxy_fences;
  now.where = access.where;
  return now;
}

std::vector<RaceDetector::Cell>& RaceDetector::cells_of(const TracedAccess& access) {
  std::vector<Cell>& cells = access.space == Space::kShared ? shared_ : global_[access.array_begin];
  const std::size_t needed = access.array_bytes / kCellBytes + 1;
  if (cells.size() < needed) cells.resize(needed);
  return cells;
}

void RaceDetector::visit(const TracedAccess& access, Visit how) {
  Event now = event_now(access);
  now.in_flight = how == Visit::kStart;
  std::vector<Cell>& cells = cells_of(access);
  const std::uint64_t life = access.space == Space::kShared ? block_count_ : launch_;
  const std::uintptr_t first = (access.begin - access.array_begin) / kCellBytes;
  const std::uintptr_t last = (access.begin + access.bytes - 1 - access.array_begin) / kCellBytes;
  for (std::uintptr_t place = first; place <= last; ++place) {
    if (place >= cells.size()) break;  // behind the array, which AddressSanitizer's build reports
    Cell& cell = cells[place];
    if (cell.life != life) {
      cell = Cell{};
      cell.life = life;
    }
    visit_cell(cell, access, how, now);
  }
}

void RaceDetector::visit_cell(Cell& cell, const TracedAccess& access, Visit how, const Event& now) {
  if (how == Visit::kArrival) {
    if (!cell.write.in_flight || cell.write.thread != now.thread) return;  // reported before
    void* const where = cell.write.where;
    cell.write = now;
    cell.write.where = where;
    return;
  }
  const bool written = cell.write.thread >= 0;
  if (written && apart(cell.write, now)) {
    report(Fault::kBlocks, access, cell.write, now);
  } else if (written && cell.write.in_flight) {
    report(Fault::kInFlight, access, cell.write, now);
  } else if (written && !ordered(cell.write, now)) {
    report(Fault::kThreads, access, cell.write, now);
  } else if (written && access.async && access.space == Space::kShared && !cell.write.async &&
             machine.fibers[static_cast<std::size_t>(cell.write.thread)].proxy_fences ==
                 cell.write.fences) {
    report(Fault::kUnfenced, access, cell.write, now);
  }
  if (!access.writes) {
    if (!written && access.space == Space::kShared)
      report(Fault::kUninitialised, access, cell.write, now);
    note_read(cell, now);
    return;
  }
  for (const Event& reader : cell.readers) {
    if (reader.thread >= 0 && apart(reader, now)) report(Fault::kBlocks, access, reader, now);
  }
  for (const Event& read : cell.reads) {
    if (read.thread >= 0 && !apart(read, now) && !ordered(read, now))
      report(Fault::kThreads, access, read, now);
  }
  cell.write = now;
  cell.reads[0] = cell.reads[1] = Event{};
}

void RaceDetector::bulk_arrives(const TracedAccess& access, int barrier, std::uint64_t phase) {
  std::vector<Cell>& cells = cells_of(access);
  const std::uintptr_t first = (access.begin - access.array_begin) / kCellBytes;
  for (std::uintptr_t place = first; place < first + access.bytes / kCellBytes; ++place) {
    Event& write = cells[place].write;
    if (!write.in_flight) continue;  // overwritten, which has been reported
    // As if written now by this thread, which waits for it.
    void* const where = write.where;
    write = event_now(access);
    write.where = where;
    write.barrier = static_cast<std::int16_t>(barrier);
    write.phase = static_cast<std::uint32_t>(phase);
  }
}

void RaceDetector::note_read(Cell& cell, const Event& now) {
  auto& [first, second] = cell.readers;
  if (first.thread < 0) {
    first = now;
  } else if (second.thread < 0 && first.block != now.block) {
    second = now;
  }
  auto& [one, two] = cell.reads;
  if (one.thread < 0 || one.block != now.block || one.barriers != now.barriers) {
    one = now;
    two = Event{};
  } else if (one.thread / 32 != now.thread / 32) {
    two = now;
  } else if (two.thread >= 0 && two.thread / 32 != one.thread / 32) {
    one = now;  // two warps are known: what lanes do no longer matters
  } else if (one.warp_barriers != now.warp_barriers) {
    one = now;
    two = Event{};
  } else if (one.thread != now.thread) {
    two = now;
  }
}

void RaceDetector::report(Fault fault, const TracedAccess& access, const Event& before,
                          const Event& now) {
  const auto [place, fresh] = reports_.try_emplace({fault, before.where, now.where});
  Report& report = place->second;
  if (!fresh) {
    ++report.count;
    return;
  }
  report.kernel = machine.shape.name;
  report.space = access.space;
  report.offset = access.begin - access.array_begin;
  report.threads[0] = before.thread;
  report.threads[1] = now.thread;
  report.blocks[0] = before.block;
  report.blocks[1] = now.block;
  report.operations[0] = before.writes ? "write" : "read";
  report.operations[1] = access.writes ? "write" : "read";
}

}  // namespace elbeam::kernels::emulated
