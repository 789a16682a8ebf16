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
  bool known = true;                     // find() gives it
  std::int64_t bytes = 0;                // about what it takes while it is known
};

// For searches whose sentences do not depend on each other. Not thread-safe.
class SharedResults {
 public:
  // Entries are forgotten, oldest first, where they would take more than `most_bytes` together.
  SharedResults(const SearchOptions& search, std::int64_t most_bytes);

  // The entry of sentence `row` of a batch, made where there is none yet; nullptr where a result
  // may depend on more than the request says, or would take too much memory to keep.
  struct Found {
    std::shared_ptr<SharedResult> entry;
    bool fresh = false;  // nobody asked for this before
  };
  Found find(const GenerateRequest& batch, std::int64_t row);
  // Puts a copy of the result into an entry that is known.
  void keep(SharedResult& entry, const SentenceResult& result);

  std::int64_t bytes() const noexcept { return bytes_; }

 private:
  using Key = std::vector<std::int64_t>;

  void grow(SharedResult& entry, std::int64_t bytes);
  Key key_of(const GenerateRequest& batch, std::int64_t row) const;

  bool lengths_depend_on_padding_;
  std::int64_t most_bytes_;
  std::int64_t bytes_ = 0;  // of all entries that are known
  std::map<Key, std::shared_ptr<SharedResult>> entries_;
  std::deque<std::map<Key, std::shared_ptr<SharedResult>>::iterator> order_;  // oldest first
};

}  // namespace elbeam::runtime
