// Pickles written opcode by opcode, as strings: whole ones that torch would write, and broken ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::test::py {

// The bytes of an integer, little-endian.
template <typename T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string join(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}

inline std::string none() { return "N"; }
inline std::string truth(bool value) { return value ? "\x88" : "\x89"; }
// LONG1 with 8 bytes: every std::int64_t.
inline std::string integer(std::int64_t value) { return "\x8a\x08" + raw(value); }
inline std::string text(std::string_view value) {
  return "X" + raw(static_cast<std::uint32_t>(value.size())) + std::string(value);
}
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::string>& items) { return "(" + join(items) + "t"; }
inline std::string list(const std::vector<std::string>& items) { return "](" + join(items) + "e"; }
inline std::string integers(const std::vector<std::int64_t>& values) {
  std::string items;
  for (const std::int64_t value : values) items += integer(value);
  return "(" + items + "t";
}

using Pairs = std::vector<std::pair<std::string, std::string>>;  // name -> pickled value

inline std::string dict(const Pairs& pairs) {
  std::string items;
  for (const auto& [name, value] : pairs) items += text(name) + value;
  return "}(" + items + "u";
}
inline std::string call(const std::string& callable, const std::vector<std::string>& arguments) {
  return callable + tuple(arguments) + "R";
}
inline std::string object(const std::string& cls, const Pairs& state) {
  return cls + ")\x81" + dict(state) + "b";
}
inline std::string put(std::uint32_t index) { return "r" + raw(index); }
inline std::string get(std::uint32_t index) { return "j" + raw(index); }

// A complete stream, protocol 2.
inline std::string pickle(const std::string& body) { return "\x80\x02" + body + "."; }

struct Tensor {
  std::string storage_class = "FloatStorage";
  std::string key = "0";
  std::int64_t storage_elements = 6;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape{2, 3};
  std::vector<std::int64_t> strides{3, 1};
};

inline std::string storage(const Tensor& tensor, const std::string& tail = "") {
  return tuple({text("storage"), global("torch", tensor.storage_class), text(tensor.key),
                text("cpu"), integer(tensor.storage_elements), tail}) +
         "Q";
}
inline std::string rebuild(const Tensor& tensor, const std::string& storage_value) {
  return call(
      global("torch._utils", "_rebuild_tensor_v2"),
      {storage_value, integer(tensor.offset), integers(tensor.shape), integers(tensor.strides),
       truth(false), call(global("collections", "OrderedDict"), {})});
}
inline std::string tensor(const Tensor& tensor) { return rebuild(tensor, storage(tensor)); }

}  // namespace elbeam::test::py
