// Several models behind one StepModel: fairseq's EnsembleModel and its shallow fusion with a
// language model (fairseq/sequence_generator.py).
#pragma once

#include <elbeam/step_model.hpp>

#include <memory>
#include <vector>

namespace elbeam::runtime {

// The mean of the models' probabilities in each step: logsumexp of their log-probabilities minus
// log(n), in float32 and in fairseq's order of operations; the mean of their attentions. Models may
// differ in shape and read the same source. Throws Error(kModel) for vocabularies of different
// sizes, and for language models among encoder-decoders. There are at least two models.
std::shared_ptr<StepModel> make_ensemble(std::vector<std::shared_ptr<StepModel>> models);

// log-probabilities of `model` plus lm_weight times those of `language_model`, which reads the
// hypotheses alone. The temperature acts on `model` only, as in fairseq. Throws Error(kModel) where
// the vocabularies differ or language_model has an encoder.
std::shared_ptr<StepModel> make_fused_model(std::shared_ptr<StepModel> model,
                                            std::shared_ptr<StepModel> language_model,
                                            double lm_weight);

}  // namespace elbeam::runtime
