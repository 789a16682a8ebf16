#include "runtime/shared_results.hpp"

#include "base/checked_math.hpp"

#include <utility>

namespace elbeam::runtime {
namespace {

void append(std::vector<std::int64_t>& key, const std::vector<std::int64_t>& tokens) {
  key.push_back(ssize(tokens.size()));
  key.insert(key.end(), tokens.begin(), tokens.end());
}

// An entry's place in the map and the queue, its control block, and what allocators add.
constexpr std::int64_t kEntryBytes = 256;

std::int64_t bytes_of(const SentenceResult& result) {
  std::int64_t bytes = 0;
  for (const Hypothesis& hypothesis : result.hypotheses) {
    bytes += ssize(sizeof(Hypothesis) + hypothesis.tokens.size() * sizeof(std::int64_t) +
                   hypothesis.positional_scores.size() * sizeof(float) + hypothesis.text.size());
  }
  return bytes;
}

}  // namespace

SharedResults::SharedResults(const SearchOptions& search, std::int64_t most_bytes)
    : lengths_depend_on_padding_(search.max_len_a != 0.0), most_bytes_(most_bytes) {}

SharedResults::Key SharedResults::key_of(const GenerateRequest& batch, std::int64_t row) const {
  Key key{batch.start_token.value_or(-1), batch.end_token.value_or(-1),
          lengths_depend_on_padding_ ? batch.batch.padded_lengths[usize(row)] : 0};
  append(key, batch.batch.sentences[usize(row)]);
  if (!batch.prefix_tokens.empty()) append(key, batch.prefix_tokens[usize(row)]);
  if (!batch.constraints.empty()) {
    for (const auto& sequence : batch.constraints[usize(row)]) append(key, sequence);
  }
  return key;
}

SharedResults::Found SharedResults::find(const GenerateRequest& batch, std::int64_t row) {
  // allowed_tokens is told the sentence's number; attention is large.
  if (batch.allowed_tokens || batch.attention) return {};
  const auto [at, fresh] = entries_.try_emplace(key_of(batch, row));
  if (fresh) {
    at->second = std::make_shared<SharedResult>();
    order_.push_back(at);
  }
  Found found{at->second, fresh};
  if (fresh) grow(*found.entry, kEntryBytes + ssize(at->first.size() * sizeof(std::int64_t)));
  return found;
}

void SharedResults::keep(SharedResult& entry, const SentenceResult& result) {
  if (!entry.known) return;
  entry.result = result;
  grow(entry, bytes_of(result));
}

// May forget the entry itself, which its holders can still use.
void SharedResults::grow(SharedResult& entry, std::int64_t bytes) {
  entry.bytes += bytes;
  bytes_ += bytes;
  while (bytes_ > most_bytes_ && !order_.empty()) {
    SharedResult& oldest = *order_.front()->second;
    oldest.known = false;
    bytes_ -= oldest.bytes;
    entries_.erase(order_.front());
    order_.pop_front();
  }
}

}  // namespace elbeam::runtime
