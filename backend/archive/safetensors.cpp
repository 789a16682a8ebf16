#include "archive/safetensors.hpp"

#include "archive/json_text.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "base/limits.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

namespace elbeam::archive {
namespace {

using nlohmann::json;

constexpr std::int64_t kLengthBytes = 8;

std::int64_t header_length(std::span<const std::byte> bytes, const std::string& path) {
  ELBEAM_CHECK(ssize(bytes.size()) > kLengthBytes, ErrorCode::kFormat, path, ": ", bytes.size(),
               " bytes are too few for a safetensors file");
  std::uint64_t length = 0;  // little-endian
  for (std::int64_t i = kLengthBytes; i-- > 0;)
    length = length << 8 | std::to_integer<std::uint64_t>(bytes[usize(i)]);
  const auto room = static_cast<std::uint64_t>(bytes.size()) - kLengthBytes;
  ELBEAM_CHECK(length >= 2 && length <= room, ErrorCode::kIntegrity, path,
               ": byte 0: the header has ", length, " bytes by its own word, the file has ", room);
  ELBEAM_CHECK(length <= static_cast<std::uint64_t>(limits::kMaxConfigBytes), ErrorCode::kLimit,
               path, ": the header has ", length, " bytes, the limit is ", limits::kMaxConfigBytes);
  return static_cast<std::int64_t>(length);
}

TensorType parse_type(const std::string& name, const std::string& where) {
  static constexpr std::array<std::pair<std::string_view, TensorType>, 10> kTypes{{
      {"F32", TensorType::kFloat32},
      {"F16", TensorType::kFloat16},
      {"BF16", TensorType::kBFloat16},
      {"F64", TensorType::kFloat64},
      {"I64", TensorType::kInt64},
      {"I32", TensorType::kInt32},
      {"I16", TensorType::kInt16},
      {"I8", TensorType::kInt8},
      {"U8", TensorType::kUInt8},
      {"BOOL", TensorType::kBool},
  }};
  for (const auto& [known, type] : kTypes) {
    if (name == known) return type;
  }
  fail(ErrorCode::kUnsupported, where, ": element type ", quoted(name));
}

// Non-negative integers of a JSON list.
std::vector<std::int64_t> parse_sizes(const json& value, std::size_t most,
                                      const std::string& where) {
  ELBEAM_CHECK(value.is_array() && value.size() <= most, ErrorCode::kFormat, where,
               ": expected a list of at most ", most, " sizes, got ", quoted(value.dump()));
  std::vector<std::int64_t> sizes;
  for (const json& item : value) {
    ELBEAM_CHECK(item.is_number_unsigned() &&
                     item.get<std::uint64_t>() <= static_cast<std::uint64_t>(limits::kMaxFileBytes),
                 ErrorCode::kFormat, where, ": expected sizes, got ", quoted(value.dump()));
    sizes.push_back(item.get<std::int64_t>());
  }
  return sizes;
}

struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::string name;
};

// One entry of the header. Its bytes lie inside `data`.
std::pair<TensorView, Range> parse_tensor(const std::string& name, const json& entry,
                                          std::span<const std::byte> data,
                                          const std::string& path) {
  const std::string where = concat(path, ": tensor ", quoted(name, 200));
  ELBEAM_CHECK(!name.empty() && ssize(name.size()) <= limits::kMaxNameBytes, ErrorCode::kLimit,
               where, ": a name of ", name.size(), " bytes, expected 1 to ", limits::kMaxNameBytes);
  ELBEAM_CHECK(entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
                   entry.contains("shape") && entry.contains("data_offsets") &&
                   entry.at("dtype").is_string(),
               ErrorCode::kFormat, where, ": expected dtype, shape and data_offsets, got ",
               quoted(entry.dump(-1, ' ', true, json::error_handler_t::replace)));
  TensorView view;
  view.type = parse_type(entry.at("dtype").get_ref<const std::string&>(), where);
  view.shape = parse_sizes(entry.at("shape"), usize(limits::kMaxTensorRank), where);
  const auto offsets = parse_sizes(entry.at("data_offsets"), 2, where);
  ELBEAM_CHECK(offsets.size() == 2 && offsets[0] <= offsets[1] && offsets[1] <= ssize(data.size()),
               ErrorCode::kIntegrity, where, ": data_offsets ",
               quoted(entry.at("data_offsets").dump()), " in ", data.size(), " bytes of numbers");
  std::int64_t expected = tensor_type_size(view.type);
  for (const std::int64_t extent : view.shape) expected = checked_mul(expected, extent);
  ELBEAM_CHECK(offsets[1] - offsets[0] == expected, ErrorCode::kIntegrity, where, ": shape ",
               quoted(entry.at("shape").dump()), " of ", tensor_type_name(view.type), " needs ",
               expected, " bytes, data_offsets give ", offsets[1] - offsets[0]);
  view.strides.resize(view.shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = view.shape.size(); axis-- > 0;) {
    view.strides[axis] = stride;
    stride *= view.shape[axis];
  }
  view.data = data.data() + offsets[0];
  return {std::move(view), Range{offsets[0], offsets[1], name}};
}

void check_cover(std::vector<Range>& ranges, std::int64_t total, const std::string& path) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t covered = 0;
  for (const Range& range : ranges) {
    ELBEAM_CHECK(range.begin == covered, ErrorCode::kIntegrity, path, ": tensor ",
                 quoted(range.name, 200), " begins at byte ", range.begin,
                 " of the numbers, expected ", covered, ", where the one before it ends");
    covered = range.end;
  }
  ELBEAM_CHECK(covered == total, ErrorCode::kIntegrity, path, ": the tensors end after ", covered,
               " bytes of numbers, the file after ", total);
}

}  // namespace

std::span<const std::byte> safetensors_header(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  return bytes.subspan(kLengthBytes, usize(header_length(bytes, file.path())));
}

TensorMap read_safetensors(const MappedFile& file) {
  const std::string& path = file.path();
  const std::span<const std::byte> bytes = file.bytes();
  const auto text = safetensors_header(file);
  ELBEAM_CHECK(text.front() == std::byte{'{'}, ErrorCode::kFormat, path,
               ": byte 8: the header does not begin with {");
  const json header =
      parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, path + ": header");
  ELBEAM_CHECK(header.is_object() && ssize(header.size()) <= limits::kMaxTensors, ErrorCode::kLimit,
               path, ": the header names ", header.size(), " tensors, the limit is ",
               limits::kMaxTensors);
  const std::span<const std::byte> data = bytes.subspan(usize(kLengthBytes) + text.size());
  TensorMap tensors;
  std::vector<Range> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;  // words about the file
    auto [view, range] = parse_tensor(name, entry, data, path);
    ranges.push_back(std::move(range));
    tensors.emplace(name, std::move(view));
  }
  check_cover(ranges, ssize(data.size()), path);
  return tensors;
}

}  // namespace elbeam::archive
