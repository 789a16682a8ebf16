#include "device/trace/tracer.hpp"
#include "kernels/emulated/machine.hpp"

#include <algorithm>
#include <array>

namespace elbeam::kernels::emulated {
namespace {

constexpr std::uintptr_t kSector = 32;
constexpr std::uintptr_t kBankBytes = 4;
constexpr std::uintptr_t kBanks = 32;

}  // namespace

Traffic& Traffic::operator+=(const Traffic& other) {
  requests += other.requests;
  used_bytes += other.used_bytes;
  moved_bytes += other.moved_bytes;
  memory_bytes += other.memory_bytes;
  floor_bytes += other.floor_bytes;
  wavefronts += other.wavefronts;
  ideal_wavefronts += other.ideal_wavefronts;
  return *this;
}

void TrafficMeter::set_cache(std::int64_t bytes) {
  cache_sectors_ = static_cast<std::size_t>(bytes) / kSector;
  cache_.clear();
  ages_.clear();
}

void TrafficMeter::name_array(const void* begin, std::int64_t bytes, const std::string& name) {
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  names_[first] = {first + static_cast<std::uintptr_t>(bytes), name};
}

void TrafficMeter::clear() {
  traffic_.clear();
  sites_.clear();
  names_.clear();
}

void TrafficMeter::begin_launch(const char* kernel) {
  kernel_ = kernel;
  touched_[0].clear();
  touched_[1].clear();
}

TrafficMeter::Key TrafficMeter::key_of(std::uintptr_t address, Space space, bool writes) const {
  if (space == Space::kShared) return {kernel_, "shared", writes};
  const auto next = names_.upper_bound(address);
  if (next == names_.begin()) return {kernel_, "", writes};
  const auto& [end, name] = std::prev(next)->second;
  return {kernel_, address < end ? name : "", writes};
}

void TrafficMeter::access(const TracedAccess& access) {
  const int thread = machine.current->index;
  const std::size_t number = static_cast<std::size_t>(thread / 32);
  if (warps_.size() <= number) warps_.resize(number + 1);
  Pending& warp = warps_[number];
  const Block& block = machine.blocks[static_cast<std::size_t>(machine.current->rank)];
  const std::uint64_t epoch[2] = {block.barriers, machine.warps[number].operations};
  if (!std::equal(epoch, epoch + 2, warp.epoch)) {
    finish(warp);
    std::copy(epoch, epoch + 2, warp.epoch);
  }
  const int time = warp.times[{access.where, thread % 32}]++;
  const auto [place, fresh] = warp.places.try_emplace({access.where, time}, warp.requests.size());
  if (fresh) warp.requests.push_back({access, {}});
  warp.requests[place->second].lanes.emplace_back(thread % 32, access.begin);
}

void TrafficMeter::finish(Pending& warp) {
  for (const Request& request : warp.requests) count(request);
  warp.places.clear();
  warp.times.clear();
  warp.requests.clear();
}

void TrafficMeter::finish_block() {
  for (Pending& warp : warps_) finish(warp);
}

void TrafficMeter::count(const Request& request) {
  Traffic traffic;
  traffic.requests = 1;
  std::vector<std::uintptr_t> addresses;
  for (const auto& [lane, address] : request.lanes) addresses.push_back(address);
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  const TracedAccess& first = request.first;
  traffic.used_bytes = static_cast<std::int64_t>(addresses.size() * first.bytes);
  if (first.space == Space::kShared) {
    count_banks(request, traffic);
  } else {
    count_sectors(addresses, first, traffic);
  }
  traffic_[key_of(first.begin, first.space, first.writes)] += traffic;
  sites_[{kernel_, first.where, first.writes}] += traffic;
}

void TrafficMeter::count_sectors(const std::vector<std::uintptr_t>& addresses,
                                 const TracedAccess& first, Traffic& traffic) {
  std::vector<std::uintptr_t> sectors;
  for (const std::uintptr_t address : addresses) {
    for (std::uintptr_t s = address / kSector; s <= (address + first.bytes - 1) / kSector; ++s)
      sectors.push_back(s);
  }
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  for (const std::uintptr_t sector : sectors) move_sector(sector, first.writes, traffic);
}

// A row of a box is one request: its vectors come one after another.
void TrafficMeter::bulk_reads(const TracedAccess& access) {
  const bool goes_on = access.begin == bulk_end_;
  bulk_end_ = access.begin + access.bytes;
  Traffic traffic;
  traffic.requests = goes_on ? 0 : 1;
  traffic.used_bytes = static_cast<std::int64_t>(access.bytes);
  const std::uintptr_t sector = access.begin / kSector;
  if (!goes_on || (access.begin - 1) / kSector != sector) move_sector(sector, false, traffic);
  traffic_[key_of(access.begin, Space::kGlobal, false)] += traffic;
  sites_[{kernel_, access.where, false}] += traffic;
}

// Accesses of 16 bytes take a quarter of a warp at a time, of 8 bytes a half.
void TrafficMeter::count_banks(const Request& request, Traffic& traffic) const {
  const std::uintptr_t bytes = request.first.bytes;
  const int phases = bytes >= 16 ? 4 : bytes >= 8 ? 2 : 1;
  for (int phase = 0; phase < phases; ++phase) {
    std::vector<std::uintptr_t> words;
    for (const auto& [lane, address] : request.lanes) {
      if (lane * phases / 32 != phase) continue;
      for (std::uintptr_t w = address / kBankBytes; w <= (address + bytes - 1) / kBankBytes; ++w)
        words.push_back(w);
    }
    if (words.empty()) continue;
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::array<std::int64_t, kBanks> turns{};
    for (const std::uintptr_t word : words) ++turns[word % kBanks];
    traffic.wavefronts += *std::max_element(turns.begin(), turns.end());
    traffic.ideal_wavefronts += static_cast<std::int64_t>((words.size() + kBanks - 1) / kBanks);
  }
}

void TrafficMeter::move_sector(std::uintptr_t sector, bool writes, Traffic& traffic) {
  constexpr std::int64_t kBytes = kSector;
  traffic.moved_bytes += kBytes;
  if (touched_[writes ? 1 : 0].insert(sector).second) traffic.floor_bytes += kBytes;
  const auto [place, missed] = cache_.try_emplace(sector);
  Line& line = place->second;
  if (missed) {
    ages_.push_front(sector);
    line.age = ages_.begin();
  } else {
    ages_.splice(ages_.begin(), ages_, line.age);
  }
  // Sectors are written whole or by masked bytes: nothing is fetched for it.
  if (writes ? !line.dirty : missed) traffic.memory_bytes += kBytes;
  line.dirty = line.dirty || writes;
  if (cache_.size() > cache_sectors_) {
    cache_.erase(ages_.back());
    ages_.pop_back();
  }
}

void TrafficMeter::move(const std::string& kernel, const void* begin, std::int64_t bytes,
                        bool writes) {
  if (bytes <= 0) return;
  kernel_ = kernel;
  Traffic traffic;
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t last = first + static_cast<std::uintptr_t>(bytes) - 1;
  for (std::uintptr_t s = first / kSector; s <= last / kSector; ++s)
    move_sector(s, writes, traffic);
  traffic.requests = 1;
  traffic.used_bytes = bytes;
  traffic_[key_of(first, Space::kGlobal, writes)] += traffic;
}

}  // namespace elbeam::kernels::emulated
