#include "model/pack_cache.hpp"

#include "archive/crc32.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"
#include "kernels/kernels.hpp"

#include <array>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace elbeam::model {
namespace {

using kernels::MatrixShape;
using kernels::PackedMatrix;
using kernels::Storage;
using nlohmann::json;

// To be raised whenever a packed layout changes, or what is packed under a name: tests/model/
// pack_cache_test.cpp notices most of that.
constexpr int kLayout = 1;

constexpr std::array<std::pair<Storage, std::string_view>, 5> kStorages{
    {{Storage::kSame, "same"},
     {Storage::kHalf, "half"},
     {Storage::kBFloat16, "bfloat16"},
     {Storage::kBFloat16Pairs, "bfloat16 pairs"},
     {Storage::kInt8, "int8"}}};

std::string_view storage_name(Storage storage) {
  for (const auto& [known, name] : kStorages) {
    if (known == storage) return name;
  }
  return {};
}

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kFp32:
      return "fp32";
    case DType::kFp64:
      return "fp64";
    case DType::kFp16:
      return "fp16";
    case DType::kBf16:
      return "bf16";
    case DType::kInt8:
      return "int8";
  }
  return "";
}

const char* attention_name(Attention attention) {
  switch (attention) {
    case Attention::kAuto:
      return "auto";
    case Attention::kEl:
      return "el";
    case Attention::kMha:
      return "mha";
  }
  return "";
}

bool multiplies_pairs() { return kernels::kernels<float>().multiply_pairs != nullptr; }

// Which tensors are read and what is made of them.
json options_key(const TransformerOptions& options) {
  return {{"layout", kLayout},
          {"isa", kernels::isa_name(kernels::active_isa())},
          {"panel_width", options.dtype == DType::kFp64 ? kernels::kernels<double>().panel_width
                                                        : kernels::kernels<float>().panel_width},
          {"dtype", dtype_name(options.dtype)},
          {"bfloat16_pairs", options.dtype == DType::kBf16 && multiplies_pairs()},
          {"attention", attention_name(options.attention)},
          {"half", options.half},
          {"language_pair", options.language_pair},
          {"model_overrides", options.model_overrides}};
}

std::string hex(std::uint32_t value) {
  std::array<char, 9> text;
  std::snprintf(text.data(), text.size(), "%08x", value);
  return text.data();
}

const archive::PackEntry& find(const archive::PackFile& file, const std::string& name) {
  const archive::PackEntry* entry = file.find(name);
  ELBEAM_CHECK(entry != nullptr && entry->facts.is_array(), ErrorCode::kFormat, "entry ",
               quoted(name, 200), " is missing");
  return *entry;
}

std::string matrix_name(const std::string& name) { return "matrix " + name; }
std::string array_name(const std::string& name) { return "array " + name; }

}  // namespace

PackCachePlace pack_cache_place(const archive::Checkpoint& checkpoint,
                                const TransformerOptions& options, const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path model(checkpoint.path());
  PackCachePlace place;
  place.key = options_key(options);
  std::string told = place.key.dump(-1, ' ', false, json::error_handler_t::replace);
  if (!folder.empty()) {  // models of one name come together there
    std::error_code error;
    const fs::path whole = fs::weakly_canonical(model, error);
    told += error ? model.string() : whole.string();
  }
  const archive::FileIdentity& identity = checkpoint.identity();
  place.key["model"] = {identity.bytes, identity.modified_seconds, identity.modified_nanoseconds,
                        identity.summary};
  const std::string name =
      concat(model.filename().string(), ".", kernels::isa_name(kernels::active_isa()), "-",
             dtype_name(options.dtype), "-", hex(archive::crc32(0, std::as_bytes(std::span(told)))),
             ".packed");
  place.path = ((folder.empty() ? model.parent_path() : fs::path(folder)) / name).string();
  return place;
}

template <typename T>
PackedMatrix<T> PackedStore<T>::matrix(const std::string& name, MatrixShape shape,
                                       const Pack& /*pack*/) {
  const archive::PackEntry& entry = find(*file_, matrix_name(name));
  for (const auto& [storage, text] : kStorages) {
    if (entry.facts != json{shape.outputs, shape.inputs, text}) continue;
    if (std::is_same_v<T, double> && storage != Storage::kSame) continue;
    if (storage == Storage::kBFloat16Pairs && !multiplies_pairs()) continue;
    if (ssize(entry.bytes.size()) != PackedMatrix<T>::image_bytes(shape, storage)) continue;
    return {shape, storage, {entry.bytes, file_}};
  }
  fail(ErrorCode::kFormat, "entry ", quoted(name, 200), ": expected a matrix ", shape.outputs,
       " x ", shape.inputs, ", got ", entry.facts.dump(), " of ", entry.bytes.size(), " bytes");
}

template <typename T>
SharedArray<T> PackedStore<T>::array(const std::string& name, std::int64_t size,
                                     const Read& /*read*/) {
  const archive::PackEntry& entry = find(*file_, array_name(name));
  const std::int64_t bytes = checked_mul(size, std::int64_t{sizeof(T)});
  ELBEAM_CHECK(entry.facts == json::array({size}) && ssize(entry.bytes.size()) == bytes,
               ErrorCode::kFormat, "entry ", quoted(name, 200), ": expected ", size,
               " numbers, got ", entry.facts.dump(), " of ", entry.bytes.size(), " bytes");
  return {{reinterpret_cast<const T*>(entry.bytes.data()), usize(size)}, file_};
}

template <typename T>
PackedMatrix<T> PackingStore<T>::matrix(const std::string& name, MatrixShape shape,
                                        const Pack& pack) {
  if (!writer_.failure().empty()) return {shape, Storage::kSame, {}};
  const PackedMatrix<T> packed = pack();
  writer_.add(matrix_name(name), {shape.outputs, shape.inputs, storage_name(packed.storage())},
              packed.image());
  return {shape, packed.storage(), {}};
}

template <typename T>
SharedArray<T> PackingStore<T>::array(const std::string& name, std::int64_t size,
                                      const Read& read) {
  const SharedArray<T> array = read();
  writer_.add(array_name(name), json::array({size}), std::as_bytes(array.values));
  return array;
}

namespace {

// nullptr where there is no file for it; `problem` says what is wrong with one that there is.
template <typename T>
std::unique_ptr<Transformer> build_from_file(const archive::Checkpoint& checkpoint,
                                             const PackCachePlace& place, ThreadPool& pool,
                                             const BuildTransformer<T>& build,
                                             std::string& problem) {
  try {
    const auto file =
        archive::PackFile::open(place.path, place.key, checkpoint.status().st_uid, pool);
    if (!file) return nullptr;
    return build(std::make_shared<PackedStore<T>>(file), true);
  } catch (const Error& error) {
    problem = error.what();
    return nullptr;
  }
}

// Why there is no file, or nothing.
template <typename T>
std::string write_file(const archive::Checkpoint& checkpoint, const PackCachePlace& place,
                       const BuildTransformer<T>& build) {
  archive::PackFileWriter writer(place.path, place.key);
  if (writer.failure().empty()) {
    build(std::make_shared<PackingStore<T>>(writer), true);
    writer.finish(checkpoint.status().st_mode);
  }
  return writer.failure();
}

}  // namespace

template <typename T>
std::unique_ptr<Transformer> build_with_pack_cache(const archive::Checkpoint& checkpoint,
                                                   const TransformerOptions& options,
                                                   const BuildTransformer<T>& build) {
  const PackCachePlace place = pack_cache_place(checkpoint, options, *options.pack_cache);
  ThreadPool pool(options.threads);
  PackCacheUse use;
  std::string problem;
  auto model = build_from_file(checkpoint, place, pool, build, problem);
  use.read = model != nullptr;
  if (!model) {
    if (!problem.empty())
      use.warnings.push_back(concat("pack cache not used, and made anew: ", problem));
    checkpoint.check_numbers();
    const std::string failure = write_file(checkpoint, place, build);
    if (!failure.empty()) {
      use.warnings.push_back(concat("pack cache ", place.path, " ", failure));
    } else {
      model = build_from_file(checkpoint, place, pool, build, problem);
      use.written = model != nullptr;
    }
  }
  if (!model) model = build(std::make_shared<kernels::WeightStore<T>>(), false);
  model->set_pack_cache(std::move(use));
  return model;
}

template std::unique_ptr<Transformer> build_with_pack_cache(const archive::Checkpoint&,
                                                            const TransformerOptions&,
                                                            const BuildTransformer<float>&);
template std::unique_ptr<Transformer> build_with_pack_cache(const archive::Checkpoint&,
                                                            const TransformerOptions&,
                                                            const BuildTransformer<double>&);
template class PackedStore<float>;
template class PackedStore<double>;
template class PackingStore<float>;
template class PackingStore<double>;

}  // namespace elbeam::model
