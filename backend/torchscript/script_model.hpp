// The TorchScript engine: the scripted fairseq modules of an archive, as black boxes behind
// StepModel.
//
// It is a plug-in, libelbeam_torchscript.so, that is loaded only when `--engine torchscript` asks
// for it: LibTorch is 450 MB that the native engine never touches. The plug-in exports one
// function, elbeam_load_script_model, of type LoadScriptModel.
//
// A TorchScript archive is a program: loading and running it runs what it contains. The caller has
// opened the file with archive::Checkpoint (strict zip index, checksums, record sizes) before
// LibTorch sees a byte of it; that guards against damaged files, not against malicious ones.
#pragma once

#include <elbeam/options.hpp>
#include <elbeam/step_model.hpp>

#include <cstdint>
#include <string>

namespace elbeam::torchscript {

struct ScriptModelOptions {
  std::string path;
  SpecialTokens special;
  bool has_encoder = true;  // false: a language model; the sizes of the source say nothing
  std::int64_t source_vocab_size = 0;
  std::int64_t target_vocab_size = 0;
  std::int64_t max_source_positions = 0;
  std::int64_t max_target_positions = 0;
  DType dtype = DType::kFp32;
  // 0: LibTorch's default. The number is the process's: of several models the last one sets it.
  int threads = 0;
};

// Returns a model that the caller deletes. Throws Error: kModel when LibTorch refuses the archive
// or the archive lacks the methods of the exporter's wrapper, kOutOfMemory.
using LoadScriptModel = StepModel* (*)(const ScriptModelOptions& options);

inline constexpr char kLoadScriptModelSymbol[] = "elbeam_load_script_model";
inline constexpr char kPluginFile[] = "libelbeam_torchscript.so";

}  // namespace elbeam::torchscript
