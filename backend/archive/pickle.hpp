// A pickle read as data: a tree of values, in which calls are records and nothing is ever called.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::archive {

enum class PickleKind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,  // str or bytes
  kList,  // also sets
  kTuple,
  kDict,        // items are key, value, key, value ...; also OrderedDict and defaultdict
  kGlobal,      // "module name" in text
  kObject,      // items[0] the callable or class, items[1] its arguments, items[2] its state (None
                // without)
  kPersistent,  // items[0] the persistent id: how torch refers to a storage
};

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  std::int64_t integer = 0;  // kInt, kBool; the bits of kFloat
  std::string_view text;     // views the stream, or the document's own strings
  std::vector<const PickleValue*> items;

  double real() const noexcept { return std::bit_cast<double>(integer); }  // kFloat
  bool is_global(std::string_view name) const noexcept {
    return kind == PickleKind::kGlobal && text == name;
  }
  // Value of a text key in a dict, or nullptr. With several, the last wins, as in Python.
  const PickleValue* find(std::string_view key) const noexcept;
};

// Owns the values of one stream. They may refer to each other in circles, as Python's may: who
// walks them has to bound depth and count.
class PickleDocument {
 public:
  // Reads one pickle at the start of `bytes`. `where` and `offset` (of bytes[0] in the file) are
  // for messages. Every global must be one that model files are made of (pickle.cpp has the list);
  // any other stops the reading with Error(kUnsupported) that names it. Also throws kFormat and
  // kLimit.
  PickleDocument(std::span<const std::byte> bytes, const std::string& where,
                 std::int64_t offset = 0);

  const PickleValue& root() const noexcept { return *root_; }
  // All values, in the order of the stream.
  const std::deque<PickleValue>& values() const noexcept { return values_; }
  std::int64_t size() const noexcept { return size_; }  // bytes of the pickle, its STOP included

 private:
  friend class PickleMachine;

  std::deque<PickleValue> values_;
  std::map<std::string, PickleValue*> globals_;  // one value for each, by its text
  const PickleValue* root_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace elbeam::archive
