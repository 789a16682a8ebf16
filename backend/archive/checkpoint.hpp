// A model file read as data: named tensors, configuration and dictionaries. Nothing in the file is
// executed. Four layouts are accepted: fairseq checkpoints in torch's zip format, fairseq
// checkpoints in the legacy format of torch < 1.6, the archives that
// `python -m torchscript_models.export` writes, and folders of Hugging Face's transformers.
#pragma once

#include "archive/data_check.hpp"
#include "base/mapped_file.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace elbeam::archive {

enum class TensorType {
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat64,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool
};

const char* tensor_type_name(TensorType type) noexcept;
std::int64_t tensor_type_size(TensorType type) noexcept;  // bytes of one element

// A tensor inside the mapped file. data points at element 0 and need not be aligned; every element
// that shape and strides reach is inside the file (checked when the file was opened).
struct TensorView {
  TensorType type = TensorType::kFloat32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  // in elements
  const std::byte* data = nullptr;

  std::int64_t element_count() const noexcept;
  bool is_contiguous() const noexcept;  // row-major
};

// What tells a file from others, and from itself before it was changed. Nothing in it comes from
// the numbers themselves.
struct FileIdentity {
  std::int64_t bytes = 0;
  std::int64_t modified_seconds = 0;  // since 1970
  std::int64_t modified_nanoseconds = 0;
  // CRC-32 of what describes the numbers: a zip file's directory, which has a checksum of each
  // tensor; the pickles of a legacy file; the headers of a folder.
  std::uint32_t summary = 0;
};

enum class CheckpointFormat { kFairseqZip, kFairseqLegacy, kElbeamArchive, kHuggingFace };

// Immutable after open(); const access from any thread. Views stay valid while it lives.
class Checkpoint {
 public:
  // path is a file, or a folder with config.json and model.safetensors.
  // Throws Error with the path and the place in the file: kIo, kFormat, kIntegrity (checksum, short
  // record), kLimit, kUnsupported (a global that no fairseq checkpoint needs, for instance).
  // kLater leaves the checksums of the numbers to check_numbers(), which has to be called before
  // they are used.
  static std::unique_ptr<Checkpoint> open(const std::string& path,
                                          DataCheck check = DataCheck::kNow);
  virtual ~Checkpoint() = default;

  virtual const std::string& path() const noexcept = 0;
  virtual CheckpointFormat format() const noexcept = 0;

  // By fairseq state-dict name ("encoder.embed_tokens.weight"), sorted; a folder's by its own. Tied
  // tensors appear under each of their names and share data. "version" buffers and `_float_tensor`
  // are included.
  virtual const std::map<std::string, TensorView, std::less<>>& tensors() const noexcept = 0;

  // {"model": {...}, "task": {...}}: cfg of a new checkpoint, or "args" of an old one under both
  // keys; Namespace, dict and OmegaConf containers all become JSON objects, and values that are not
  // data become null. An archive's own facts ("elbeam": {...}) are beside them. A folder's
  // config.json is the only entry, "huggingface".
  virtual const nlohmann::json& config() const noexcept = 0;

  // Text of an archive's extra file ("dict.src.txt", "dict.tgt.txt"); nullptr where absent.
  virtual const std::string* extra_file(std::string_view name) const noexcept = 0;

  // A hint that these bytes are not needed for now: their memory is given back, and they are read
  // from the file again when they are. Bytes outside the mapped file are left alone.
  virtual void release(std::span<const std::byte> part) const noexcept = 0;

  virtual const FileIdentity& identity() const noexcept = 0;
  // Who may read the file, and whose it is: st_mode and st_uid as it was opened.
  virtual const struct stat& status() const noexcept = 0;
  // Throws Error(kIntegrity) where the checksum of a tensor is wrong. Does nothing for a file that
  // was checked when it was opened, or that has no checksums.
  virtual void check_numbers() const = 0;
};

}  // namespace elbeam::archive
