#include "model/tensor_reader.hpp"

#include "base/check.hpp"

#include <bit>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

namespace elbeam::model {
namespace {

using archive::TensorType;
using archive::TensorView;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits >> 15) << 31;
  const std::uint32_t exponent = (bits >> 10) & 31U;
  const std::uint32_t mantissa = bits & 1023U;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
  const float value =
      static_cast<float>(mantissa) * 5.9604644775390625e-8F;  // subnormal: 2^-24 steps
  return sign != 0 ? -value : value;
}

template <typename Stored>
double load_as(const std::byte* p) {
  Stored value{};
  std::memcpy(&value, p, sizeof(value));
  return static_cast<double>(value);
}

// fp32 and narrower fit a double exactly, so the way through it loses nothing.
double load_element(TensorType type, const std::byte* p) {
  switch (type) {
    case TensorType::kFloat32:
      return load_as<float>(p);
    case TensorType::kFloat64:
      return load_as<double>(p);
    case TensorType::kFloat16: {
      std::uint16_t bits = 0;
      std::memcpy(&bits, p, sizeof(bits));
      return static_cast<double>(half_to_float(bits));
    }
    case TensorType::kBFloat16: {
      std::uint16_t bits = 0;
      std::memcpy(&bits, p, sizeof(bits));
      return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
    }
    case TensorType::kInt64:
      return load_as<std::int64_t>(p);
    case TensorType::kInt32:
      return load_as<std::int32_t>(p);
    case TensorType::kInt16:
      return load_as<std::int16_t>(p);
    case TensorType::kInt8:
      return load_as<std::int8_t>(p);
    case TensorType::kUInt8:
    case TensorType::kBool:
      return load_as<std::uint8_t>(p);
  }
  return 0.0;
}

template <typename T>
constexpr TensorType native_type() {
  return std::is_same_v<T, float> ? TensorType::kFloat32 : TensorType::kFloat64;
}

template <typename T>
void convert(const TensorView& view, T* out) {
  const std::int64_t element = archive::tensor_type_size(view.type);
  const std::size_t rank = view.shape.size();
  const std::int64_t count = view.element_count();
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    out[i] = static_cast<T>(load_element(view.type, view.data + offset * element));
    for (std::size_t axis = rank; axis-- > 0;) {  // odometer over the strides
      offset += view.strides[axis];
      if (++index[axis] < view.shape[axis]) break;
      offset -= view.strides[axis] * view.shape[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

template <typename T>
TensorReader<T>::TensorReader(std::shared_ptr<const archive::Checkpoint> checkpoint)
    : checkpoint_(std::move(checkpoint)) {}

template <typename T>
bool TensorReader<T>::has(const std::string& name) const {
  return checkpoint_->tensors().find(name) != checkpoint_->tensors().end();
}

template <typename T>
const TensorView& TensorReader<T>::find(const std::string& name) const {
  const auto it = checkpoint_->tensors().find(name);
  ELBEAM_CHECK(it != checkpoint_->tensors().end(), ErrorCode::kModel, path(), ": tensor ",
               quoted(name, 200), " is missing");
  return it->second;
}

template <typename T>
std::int64_t TensorReader<T>::extent(const std::string& name, std::size_t rank,
                                     std::size_t axis) const {
  const TensorView& view = find(name);
  ELBEAM_CHECK(view.shape.size() == rank, ErrorCode::kModel, path(), ": tensor ", quoted(name, 200),
               ": expected rank ", rank, ", got shape ", shape_text(view.shape));
  return view.shape[axis];
}

template <typename T>
std::span<const T> TensorReader<T>::matrix(const std::string& name, std::int64_t rows,
                                           std::int64_t columns) {
  const TensorView& view = find(name);
  ELBEAM_CHECK((view.shape == std::vector<std::int64_t>{rows, columns}), ErrorCode::kModel, path(),
               ": tensor ", quoted(name, 200), ": expected shape ", shape_text({rows, columns}),
               ", got ", shape_text(view.shape));
  return read(name, view);
}

template <typename T>
std::span<const T> TensorReader<T>::vector(const std::string& name, std::int64_t size) {
  const TensorView& view = find(name);
  ELBEAM_CHECK((view.shape == std::vector<std::int64_t>{size}), ErrorCode::kModel, path(),
               ": tensor ", quoted(name, 200), ": expected shape ", shape_text({size}), ", got ",
               shape_text(view.shape));
  return read(name, view);
}

template <typename T>
std::span<const T> TensorReader<T>::optional_vector(const std::string& name, std::int64_t size) {
  return has(name) ? vector(name, size) : std::span<const T>{};
}

template <typename T>
double TensorReader<T>::scalar(const std::string& name, double otherwise) const {
  if (!has(name)) return otherwise;
  const TensorView& view = find(name);
  ELBEAM_CHECK(view.element_count() >= 1, ErrorCode::kModel, path(), ": tensor ", quoted(name, 200),
               ": expected one element, got none");
  return load_element(view.type, view.data);
}

template <typename T>
std::span<const T> TensorReader<T>::read(const std::string& name, const TensorView& view) {
  ELBEAM_CHECK(view.type == TensorType::kFloat32 || view.type == TensorType::kFloat16 ||
                   view.type == TensorType::kBFloat16 || view.type == TensorType::kFloat64,
               ErrorCode::kModel, path(), ": tensor ", quoted(name, 200),
               ": expected a floating-point type, got ", archive::tensor_type_name(view.type));
  const std::int64_t count = view.element_count();
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  if (view.type == native_type<T>() && view.is_contiguous() && address % alignof(T) == 0) {
    return {reinterpret_cast<const T*>(view.data), usize(count)};
  }
  const auto [it, fresh] = done_.try_emplace(Key{view.data, view.shape, view.strides});
  if (fresh) {
    AlignedBuffer<T>& buffer = converted_.emplace_back(count);
    convert(view, buffer.data());
    it->second = {buffer.data(), usize(count)};
  }
  return it->second;
}

template class TensorReader<float>;
template class TensorReader<double>;

}  // namespace elbeam::model
