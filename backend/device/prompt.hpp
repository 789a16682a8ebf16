// Tokens that decoders read before their first step (prompts, forced prefixes, references): one
// pass over all their positions.
#pragma once

#include "attention/weights.hpp"
#include "device/sources.hpp"

#include <cstdint>
#include <vector>

namespace elbeam::device {

// Lists of tokens, one, or none, for each sentence.
struct Prompts {
  std::vector<std::int32_t> tokens;      // list after list
  std::vector<std::int64_t> offsets{0};  // [sentences + 1]
  std::vector<std::int32_t> targets{};   // [tokens] what follows each one, or empty
};

// What later steps attend to, each layer's for all tokens: keys and values side by side, or
// (EL-attention) hidden states.
template <typename T>
struct PromptCache {
  std::vector<std::int64_t> offsets;  // [sentences + 1]
  std::vector<Buffer<T>> layers;      // [tokens, self_cache_width()]
};

struct PromptSize {
  std::int64_t tokens = 0;   // of all lists
  std::int64_t longest = 0;  // of one
};

// Numbers that a pass and its cache take of the device's memory.
template <typename T>
std::int64_t prompt_numbers(const StackWeights<T>& stack, attention::Kind self_kind,
                            const PromptSize& size);

// fairseq's TransformerDecoder.forward over known tokens, without padding: lists of several lengths
// go through the layers together.
template <typename T>
class PromptPass {
 public:
  PromptPass(const Layers<T>& layers, const Linear<T>& output, const Sources<T>& sources,
             attention::Kind self_kind)
      : layers_(layers), output_(output), sources_(sources), self_kind_(self_kind) {}

  // Fills `cache`. Returns the targets' log-probabilities, logits divided by the temperature before
  // they are normalised; nothing without targets.
  std::vector<float> run(const Prompts& prompts, float temperature, PromptCache<T>& cache) const;

 private:
  struct Chunk;
  void read(const Chunk& chunk, PromptCache<T>& cache) const;
  void attend_to_self(const Chunk& chunk, std::size_t layer, PromptCache<T>& cache) const;
  void attend_to_source(const Chunk& chunk, std::size_t layer) const;
  void score(const Chunk& chunk, float temperature, std::span<float> log_probs) const;

  const Layers<T>& layers_;
  const Linear<T>& output_;
  const Sources<T>& sources_;
  attention::Kind self_kind_;
};

}  // namespace elbeam::device
