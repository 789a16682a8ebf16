// What each file layout is read into.
#pragma once

#include "archive/torch_values.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <string>

namespace elbeam::archive {

struct CheckpointData {
  CheckpointFormat format = CheckpointFormat::kFairseqZip;
  TensorMap tensors;
  nlohmann::json config = nlohmann::json::object();
  std::map<std::string, std::string, std::less<>> extra_files;
};

// Zip files of torch >= 1.6: fairseq checkpoints, and TorchScript archives with our config.json.
CheckpointData read_torch_zip(const MappedFile& file);

// Files of torch < 1.6: a row of pickles, then the storages one after another.
CheckpointData read_torch_legacy(const MappedFile& file);

}  // namespace elbeam::archive
