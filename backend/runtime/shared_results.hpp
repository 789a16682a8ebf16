// Sentences of a run that ask for the same: they are decoded once.
#pragma once

#include <elbeam/generator.hpp>

#include "runtime/request_group.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace elbeam::runtime {

// What is known of sentences that ask for the same.
struct SharedResult {
  std::optional<SentenceResult> result;  // once it is there
  std::vector<Place> waiting;            // sentences that get a copy of it then
};

// For searches whose sentences do not depend on each other. Not thread-safe.
class SharedResults {
 public:
  explicit SharedResults(const SearchOptions& search);

  // The entry of sentence `row` of a batch, made where there is none yet; nullptr where a result
  // may depend on more than the request says, or would take too much memory to keep. The last
  // kKept entries are known.
  struct Found {
    std::shared_ptr<SharedResult> entry;
    bool fresh = false;  // nobody asked for this before
  };
  Found find(const GenerateRequest& batch, std::int64_t row);

 private:
  using Key = std::vector<std::int64_t>;
  static constexpr std::size_t kKept = 4096;

  Key key_of(const GenerateRequest& batch, std::int64_t row) const;

  bool lengths_depend_on_padding_;
  std::map<Key, std::shared_ptr<SharedResult>> entries_;
  std::deque<std::map<Key, std::shared_ptr<SharedResult>>::iterator> order_;  // oldest first
};

}  // namespace elbeam::runtime
