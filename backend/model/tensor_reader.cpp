#include "model/tensor_reader.hpp"

#include "base/check.hpp"
#include "kernels/core/element.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
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

template <typename Stored>
Stored load_raw(const std::byte* p) {
  Stored value{};
  std::memcpy(&value, p, sizeof(value));
  return value;
}

template <typename Stored>
double load_as(const std::byte* p) {
  return static_cast<double>(load_raw<Stored>(p));
}

// fp32 and narrower fit a double exactly, so the way through it loses nothing.
double load_element(TensorType type, const std::byte* p) {
  switch (type) {
    case TensorType::kFloat32:
      return load_as<float>(p);
    case TensorType::kFloat64:
      return load_as<double>(p);
    case TensorType::kFloat16:
      return static_cast<double>(kernels::to_float(load_raw<kernels::Half>(p)));
    case TensorType::kBFloat16:
      return static_cast<double>(kernels::to_float(load_raw<kernels::BFloat16>(p)));
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

// What torch's tensor.half() makes of a number: fp64 goes through fp32 there too.
double round_to_half(double value) {
  const auto half = kernels::from_float<kernels::Half>(static_cast<float>(value));
  return static_cast<double>(kernels::to_float(half));
}

template <typename T>
void convert(const TensorView& view, bool half, T* out) {
  const std::int64_t element = archive::tensor_type_size(view.type);
  const std::size_t rank = view.shape.size();
  const std::int64_t count = view.element_count();
  std::vector<std::int64_t> index(rank, 0);
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = load_element(view.type, view.data + offset * element);
    out[i] = static_cast<T>(half ? round_to_half(value) : value);
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
TensorReader<T>::TensorReader(std::shared_ptr<const archive::Checkpoint> checkpoint,
                              ReaderOptions options)
    : checkpoint_(std::move(checkpoint)), options_(std::move(options)) {}

template <typename T>
std::string TensorReader<T>::in_file(const std::string& name) const {
  const TensorNames& names = options_.names;
  for (const auto& [stack, kept] :
       {std::pair{std::string_view("encoder.layers."), &names.encoder_kept},
        {std::string_view("decoder.layers."), &names.decoder_kept}}) {
    if (kept->empty() || !name.starts_with(stack)) continue;
    std::size_t layer = 0;
    const char* begin = name.data() + stack.size();
    const char* end = std::from_chars(begin, name.data() + name.size(), layer).ptr;
    if (layer >= kept->size()) return {};
    return concat(names.prefix, stack, (*kept)[layer], std::string_view(end));
  }
  return names.prefix + name;
}

template <typename T>
bool TensorReader<T>::has(const std::string& name) const {
  return checkpoint_->tensors().find(in_file(name)) != checkpoint_->tensors().end();
}

template <typename T>
const TensorView& TensorReader<T>::find(const std::string& name) const {
  const std::string stored = in_file(name);
  const auto it = checkpoint_->tensors().find(stored);
  ELBEAM_CHECK(it != checkpoint_->tensors().end(), ErrorCode::kModel, path(), ": tensor ",
               quoted(stored.empty() ? name : stored, 200), " is missing");
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
  const bool half = options_.half && view.type != TensorType::kFloat16;
  if (!half && view.type == native_type<T>() && view.is_contiguous() && address % alignof(T) == 0) {
    constexpr std::int64_t kLarge = 16 * 1024;  // elements
    if (count >= kLarge) in_place_.push_back({view.data, usize(count) * sizeof(T)});
    return {reinterpret_cast<const T*>(view.data), usize(count)};
  }
  const auto [it, fresh] = done_.try_emplace(Key{view.data, view.shape, view.strides});
  if (fresh) {
    AlignedBuffer<T>& buffer = converted_.emplace_back(count);
    convert(view, half, buffer.data());
    it->second = {buffer.data(), usize(count)};
  }
  return it->second;
}

template <typename T>
void TensorReader<T>::let_go() const noexcept {
  for (const std::span<const std::byte> bytes : in_place_) checkpoint_->release(bytes);
}

template class TensorReader<float>;
template class TensorReader<double>;

}  // namespace elbeam::model
