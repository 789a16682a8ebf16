#include "search/prefix.hpp"

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>

namespace elbeam::search {

ForcedPrefixes::ForcedPrefixes(const std::vector<std::vector<std::int64_t>>& prefixes,
                               std::int64_t sentences, std::int64_t vocab_size,
                               const SpecialTokens& special, bool mixed)
    : prefixes_(prefixes), pad_(special.pad), mixed_(mixed) {
  ELBEAM_CHECK(prefixes.empty() || ssize(prefixes.size()) == sentences, ErrorCode::kUsage,
               "expected one prefix for each of ", sentences, " sentences, got ", prefixes.size());
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    for (const std::int64_t token : prefixes[i]) {
      ELBEAM_CHECK(token >= 0 && token < vocab_size, ErrorCode::kUsage, "prefix of sentence ", i,
                   ": token ", token, " is outside the vocabulary of ", vocab_size);
    }
    width_ = std::max(width_, ssize(prefixes[i].size()));
  }
}

std::optional<std::int64_t> ForcedPrefixes::token(std::int64_t sentence,
                                                  std::int64_t step) const noexcept {
  if (prefixes_.empty()) return std::nullopt;
  const std::vector<std::int64_t>& prefix = prefixes_[usize(sentence)];
  if (step >= ssize(prefix.size()) || prefix[usize(step)] == pad_) return std::nullopt;
  return prefix[usize(step)];
}

std::int64_t ForcedPrefixes::common_length(std::int64_t eos) const noexcept {
  std::int64_t length = width_;
  for (const auto& prefix : prefixes_) {
    const auto end = std::find_if(prefix.begin(), prefix.end(), [&](std::int64_t token) {
      return token == pad_ || token == eos;
    });
    length = std::min<std::int64_t>(length, end - prefix.begin());
  }
  return length;
}

void ForcedPrefixes::check_followed(std::int64_t sentence,
                                    std::span<const std::int64_t> tokens) const {
  const std::vector<std::int64_t>& prefix = prefixes_[usize(sentence)];
  ELBEAM_CHECK(
      tokens.size() <= prefix.size() && std::equal(tokens.begin(), tokens.end(), prefix.begin()),
      ErrorCode::kUsage, "prefix of sentence ", sentence, ": it ends with eos after ",
      tokens.size(),
      " tokens, and the best hypothesis does not begin with these: the model finds one of "
      "them impossible, or there is a pad among them");
}

}  // namespace elbeam::search
