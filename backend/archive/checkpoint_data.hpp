// What each file layout is read into.
#pragma once

#include "archive/torch_values.hpp"
#include "archive/zip_index.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace elbeam::archive {

struct CheckpointData {
  CheckpointFormat format = CheckpointFormat::kFairseqZip;
  TensorMap tensors;
  nlohmann::json config = nlohmann::json::object();
  std::map<std::string, std::string, std::less<>> extra_files;
  std::vector<StoredEntry> unchecked;  // of DataCheck::kLater
  std::uint32_t summary = 0;           // FileIdentity::summary
};

// Zip files of torch >= 1.6: fairseq checkpoints, and TorchScript archives with our config.json.
CheckpointData read_torch_zip(const MappedFile& file, DataCheck check);

// Files of torch < 1.6: a row of pickles, then the storages one after another.
CheckpointData read_torch_legacy(const MappedFile& file);

}  // namespace elbeam::archive
