#include "runtime/shared_results.hpp"

#include "base/checked_math.hpp"

#include <utility>

namespace elbeam::runtime {
namespace {

void append(std::vector<std::int64_t>& key, const std::vector<std::int64_t>& tokens) {
  key.push_back(ssize(tokens.size()));
  key.insert(key.end(), tokens.begin(), tokens.end());
}

}  // namespace

SharedResults::SharedResults(const SearchOptions& search)
    : lengths_depend_on_padding_(search.max_len_a != 0.0) {}

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
  if (order_.size() > kKept) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
  return found;
}

}  // namespace elbeam::runtime
