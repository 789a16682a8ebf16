// Options of a search and of loading a model, with fairseq's names, meanings and defaults.
#pragma once

#include <cstdint>
#include <string>

namespace elbeam {

// fairseq 0.12.2: dataclass/configs.py GenerationConfig, used by SequenceGenerator.
struct SearchOptions {
  std::int64_t beam = 5;         // capped at vocabulary size - 1, as fairseq does
  std::int64_t nbest = 1;        // hypotheses returned per sentence; above beam gives beam
  std::int64_t min_len = 1;      // tokens before eos is allowed, eos excluded
  double max_len_a = 0.0;        // max_len = int(max_len_a * padded source length + max_len_b),
  double max_len_b = 200.0;      //   capped at max_decoder_positions - 1; eos excluded
  double lenpen = 1.0;           // score / length^lenpen, length counts eos; > 1 favours longer
  bool normalize_scores = true;  // false: --unnormalized
  double unk_penalty = 0.0;      // subtracted from the log-probability of <unk>
  double temperature = 1.0;      // > 0

  // Throws Error(kUsage) naming the first option that is out of range.
  void validate() const;
};

enum class Engine { kNative, kTorchScript };
enum class Attention { kAuto, kEl, kMha };
enum class DType { kFp32, kFp64 };

struct LoadOptions {
  std::string
      model_path;  // fairseq checkpoint (zip or legacy) or archive of torchscript_models.export
  // Dictionaries dict.<lang>.txt of the data; empty: the archive's own (checkpoints carry none).
  std::string source_dictionary_path;
  std::string target_dictionary_path;
  Engine engine = Engine::kNative;
  Attention attention = Attention::kAuto;
  DType dtype = DType::kFp32;
  int threads = 0;  // 0: as many as the process may run on

  void validate() const;
};

}  // namespace elbeam
