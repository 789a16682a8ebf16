#include "archive/checkpoint.hpp"

#include "archive/checkpoint_data.hpp"
#include "archive/crc32.hpp"
#include "archive/json_text.hpp"
#include "archive/safetensors.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <new>
#include <system_error>
#include <utility>

namespace elbeam::archive {
namespace {

class MappedCheckpoint : public Checkpoint {
 public:
  MappedCheckpoint(MappedFile file, CheckpointData data)
      : file_(std::move(file)), data_(std::move(data)) {
    const auto& time = file_.status().st_mtim;
    identity_.bytes = ssize(file_.bytes().size());
    identity_.modified_seconds = time.tv_sec;
    identity_.modified_nanoseconds = time.tv_nsec;
    identity_.summary = data_.summary;
  }

  const std::string& path() const noexcept override { return file_.path(); }
  CheckpointFormat format() const noexcept override { return data_.format; }
  const TensorMap& tensors() const noexcept override { return data_.tensors; }
  const nlohmann::json& config() const noexcept override { return data_.config; }
  const std::string* extra_file(std::string_view name) const noexcept override {
    const auto it = data_.extra_files.find(name);
    return it == data_.extra_files.end() ? nullptr : &it->second;
  }
  void release(std::span<const std::byte> part) const noexcept override {
    const std::span<const std::byte> all = file_.bytes();
    const std::less_equal<const std::byte*> before;
    if (before(all.data(), part.data()) &&
        before(part.data() + part.size(), all.data() + all.size())) {
      file_.release(part);
    }
  }
  const FileIdentity& identity() const noexcept override { return identity_; }
  const struct stat& status() const noexcept override { return file_.status(); }
  void check_numbers() const override {
    for (const StoredEntry& entry : data_.unchecked) check_stored(file_, entry);
  }

 private:
  MappedFile file_;
  CheckpointData data_;
  FileIdentity identity_;
};

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() &&
         std::string_view(reinterpret_cast<const char*>(bytes.data()), magic.size()) == magic;
}

// A zip begins with a local header, a legacy file with a pickle; nothing else is a model.
CheckpointData read(const MappedFile& file, DataCheck check) {
  const std::span<const std::byte> bytes = file.bytes();
  if (starts_with(bytes, "PK")) return read_torch_zip(file, check);
  ELBEAM_CHECK(starts_with(bytes, "\x80"), ErrorCode::kFormat, file.path(),
               ": neither a torch zip file nor a legacy torch file: it begins with ",
               quoted({reinterpret_cast<const char*>(bytes.data()),
                       std::min<std::size_t>(bytes.size(), 8)}));
  return read_torch_legacy(file);
}

bool has_index(const std::string& folder) {
  std::error_code ignored;
  return std::filesystem::exists(folder + "/model.safetensors.index.json", ignored);
}

// What transformers' save_pretrained writes.
std::unique_ptr<Checkpoint> open_folder(const std::string& path) {
  std::error_code ignored;
  ELBEAM_CHECK(std::filesystem::exists(path + "/config.json", ignored), ErrorCode::kIo, path,
               ": not a regular file, and a folder without config.json and model.safetensors");
  const MappedFile config(path + "/config.json");
  ELBEAM_CHECK(!has_index(path), ErrorCode::kUnsupported, path,
               ": a model in several safetensors files; save it as one (max_shard_size)");
  MappedFile file(path + "/model.safetensors");
  ELBEAM_CHECK(!file.bytes().empty(), ErrorCode::kFormat, file.path(), ": the file is empty");
  CheckpointData data;
  data.format = CheckpointFormat::kHuggingFace;
  data.summary = crc32(crc32(0, config.bytes()), safetensors_header(file));
  data.tensors = read_safetensors(file);
  nlohmann::json facts = parse_json(
      {reinterpret_cast<const char*>(config.bytes().data()), config.bytes().size()}, config.path());
  ELBEAM_CHECK(facts.is_object(), ErrorCode::kFormat, config.path(), ": expected a JSON object");
  data.config["huggingface"] = std::move(facts);
  return std::make_unique<MappedCheckpoint>(std::move(file), std::move(data));
}

}  // namespace

const char* tensor_type_name(TensorType type) noexcept {
  switch (type) {
    case TensorType::kFloat32:
      return "float32";
    case TensorType::kFloat16:
      return "float16";
    case TensorType::kBFloat16:
      return "bfloat16";
    case TensorType::kFloat64:
      return "float64";
    case TensorType::kInt64:
      return "int64";
    case TensorType::kInt32:
      return "int32";
    case TensorType::kInt16:
      return "int16";
    case TensorType::kInt8:
      return "int8";
    case TensorType::kUInt8:
      return "uint8";
    case TensorType::kBool:
      return "bool";
  }
  return "unknown";
}

std::int64_t tensor_type_size(TensorType type) noexcept {
  switch (type) {
    case TensorType::kFloat64:
    case TensorType::kInt64:
      return 8;
    case TensorType::kFloat32:
    case TensorType::kInt32:
      return 4;
    case TensorType::kFloat16:
    case TensorType::kBFloat16:
    case TensorType::kInt16:
      return 2;
    case TensorType::kInt8:
    case TensorType::kUInt8:
    case TensorType::kBool:
      return 1;
  }
  return 1;
}

std::int64_t TensorView::element_count() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;  // checked when the file was opened
  return count;
}

bool TensorView::is_contiguous() const noexcept {
  std::int64_t expected = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] != 1 && strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

std::unique_ptr<Checkpoint> Checkpoint::open(const std::string& path, DataCheck check) {
  try {
    std::error_code ignored;  // what cannot be looked at cannot be opened either
    if (std::filesystem::is_directory(path, ignored)) return open_folder(path);
    MappedFile file(path);
    ELBEAM_CHECK(!file.bytes().empty(), ErrorCode::kFormat, path, ": the file is empty");
    CheckpointData data = read(file, check);
    return std::make_unique<MappedCheckpoint>(std::move(file), std::move(data));
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::kOutOfMemory, path, ": not enough memory to read it");
  }
}

}  // namespace elbeam::archive
