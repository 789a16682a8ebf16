#include "model/tensor_reader.hpp"

#include "base/aligned_buffer.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
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

// Half precision of a row-major tensor, which is how fairseq's fp16 checkpoints hold all they have.
template <typename T, typename Stored>
void widen(const std::byte* data, std::int64_t count, T* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto stored = load_raw<Stored>(data + i * ssize(sizeof(Stored)));
    out[i] = static_cast<T>(kernels::to_float(stored));
  }
}

template <typename T>
void convert(const TensorView& view, bool half, T* out) {
  const std::int64_t element = archive::tensor_type_size(view.type);
  const std::size_t rank = view.shape.size();
  const std::int64_t count = view.element_count();
  if (!half && view.is_contiguous() && view.type == TensorType::kFloat16)
    return widen<T, kernels::Half>(view.data, count, out);
  if (!half && view.is_contiguous() && view.type == TensorType::kBFloat16)
    return widen<T, kernels::BFloat16>(view.data, count, out);
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
                              ReaderOptions options, std::shared_ptr<kernels::WeightStore<T>> store)
    : checkpoint_(std::move(checkpoint)), options_(std::move(options)), store_(std::move(store)) {}

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
void TensorReader<T>::check_type(const std::string& name, const TensorView& view) const {
  ELBEAM_CHECK(view.type == TensorType::kFloat32 || view.type == TensorType::kFloat16 ||
                   view.type == TensorType::kBFloat16 || view.type == TensorType::kFloat64,
               ErrorCode::kModel, path(), ": tensor ", quoted(name, 200),
               ": expected a floating-point type, got ", archive::tensor_type_name(view.type));
}

template <typename T>
const TensorView& TensorReader<T>::checked_matrix(const std::string& name, std::int64_t rows,
                                                  std::int64_t columns) const {
  const TensorView& view = find(name);
  ELBEAM_CHECK((view.shape == std::vector<std::int64_t>{rows, columns}), ErrorCode::kModel, path(),
               ": tensor ", quoted(name, 200), ": expected shape ", shape_text({rows, columns}),
               ", got ", shape_text(view.shape));
  check_type(name, view);
  return view;
}

template <typename T>
std::span<const T> TensorReader<T>::matrix(const std::string& name, std::int64_t rows,
                                           std::int64_t columns) {
  return keep(name, checked_matrix(name, rows, columns));
}

template <typename T>
std::span<const T> TensorReader<T>::vector(const std::string& name, std::int64_t size) {
  const TensorView& view = find(name);
  ELBEAM_CHECK((view.shape == std::vector<std::int64_t>{size}), ErrorCode::kModel, path(),
               ": tensor ", quoted(name, 200), ": expected shape ", shape_text({size}), ", got ",
               shape_text(view.shape));
  check_type(name, view);
  return keep(name, view);
}

template <typename T>
std::span<const T> TensorReader<T>::optional_vector(const std::string& name, std::int64_t size) {
  return has(name) ? vector(name, size) : std::span<const T>{};
}

template <typename T>
kernels::PackedMatrix<T> TensorReader<T>::packed(const std::string& name, std::int64_t outputs,
                                                 std::int64_t inputs) {
  const TensorView& view = checked_matrix(name, outputs, inputs);
  return store_->matrix(name, {outputs, inputs}, [&] {
    const SharedArray<T> weight = lend(view);
    return kernels::PackedMatrix<T>(weight.values.data(), inputs, outputs, inputs,
                                    options_.storage);
  });
}

template <typename T>
std::function<SharedArray<T>()> TensorReader<T>::loan(const std::string& name,
                                                      const MatrixPart& part) const {
  TensorView view = checked_matrix(name, part.rows, part.columns);
  if (part.count >= 0) {
    ELBEAM_INVARIANT(part.first >= 0 && part.first + part.count <= part.rows);
    view.data += part.first * view.strides[0] * archive::tensor_type_size(view.type);
    view.shape[0] = part.count;
  }
  return [this, view] { return lend(view); };
}

template <typename T>
double TensorReader<T>::scalar(const std::string& name, double otherwise) {
  if (!has(name)) return otherwise;
  const TensorView& view = find(name);
  ELBEAM_CHECK(view.element_count() >= 1, ErrorCode::kModel, path(), ": tensor ", quoted(name, 200),
               ": expected one element, got none");
  const SharedArray<T> value = store_->array(name, 1, [&]() -> SharedArray<T> {
    const auto one = std::make_shared<T>(static_cast<T>(load_element(view.type, view.data)));
    return {{one.get(), 1}, one};
  });
  return static_cast<double>(value.values[0]);
}

template <typename T>
std::span<const T> TensorReader<T>::keep(const std::string& name, const TensorView& view) {
  const auto [it, fresh] = kept_.try_emplace(Key{view.data, view.shape, view.strides});
  if (fresh) it->second = store_->array(name, view.element_count(), [&] { return read(view); });
  return it->second.values;
}

template <typename T>
bool TensorReader<T>::rounds(const TensorView& view) const {
  return options_.half && view.type != TensorType::kFloat16;
}

template <typename T>
bool TensorReader<T>::lies_ready(const TensorView& view) const {
  return view.type == native_type<T>() && !rounds(view) && view.is_contiguous() &&
         reinterpret_cast<std::uintptr_t>(view.data) % alignof(T) == 0;
}

template <typename T>
SharedArray<T> TensorReader<T>::read(const TensorView& view) const {
  const std::int64_t count = view.element_count();
  if (lies_ready(view)) return {{reinterpret_cast<const T*>(view.data), usize(count)}, checkpoint_};
  const auto buffer = std::make_shared<AlignedBuffer<T>>(count);
  convert(view, rounds(view), buffer->data());
  const std::int64_t bytes = checked_mul(count, archive::tensor_type_size(view.type));
  if (view.is_contiguous()) checkpoint_->release({view.data, usize(bytes)});
  return {{buffer->data(), usize(count)}, buffer};
}

template <typename T>
SharedArray<T> TensorReader<T>::lend(const TensorView& view) const {
  const auto kept = kept_.find(Key{view.data, view.shape, view.strides});
  SharedArray<T> loan = kept != kept_.end() ? kept->second : read(view);
  constexpr std::size_t kLarge = 16 * 1024;  // elements
  if (!lies_ready(view) || loan.values.size() < kLarge) return loan;
  const auto give_back = [file = checkpoint_, bytes = std::as_bytes(loan.values)](const void*) {
    file->release(bytes);
  };
  loan.owner = std::shared_ptr<const void>(loan.values.data(), give_back);
  return loan;
}

template class TensorReader<float>;
template class TensorReader<double>;

}  // namespace elbeam::model
