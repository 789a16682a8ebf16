// From the decoder's features to log-probabilities over the vocabulary.
#pragma once

#include "model/config.hpp"
#include "model/layers.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace elbeam::model {

// A matrix with its softmax, or fairseq's AdaptiveSoftmax (Grave et al., 2017): a head over the
// frequent tokens and one entry for each cluster of rarer ones, which has a matrix of its own.
// Immutable; apply() may run in several threads at once.
template <typename T>
class OutputLayer {
 public:
  // embedded_tokens: rows of decoder.embed_tokens, which have to be the vocabulary.
  OutputLayer(TensorReader<T>& reader, const TransformerConfig& config, std::int64_t dim,
              std::int64_t embedded_tokens);

  std::int64_t vocab_size() const noexcept { return vocab_size_; }

  // A part of the vocabulary. Empty: all of it.
  struct Selection {
    std::vector<std::int64_t> tokens;  // ascending
    kernels::PackedMatrix<T> matrix;   // their rows
    std::vector<T> bias;
  };
  // Throws Error(kUnsupported) for adaptive softmax.
  Selection select(std::vector<std::int64_t> tokens) const;

  // Scratch space; it only grows.
  struct Scratch {
    // Only these tokens are computed, and the others have the log-probability -inf; nullptr: all.
    const Selection* selection = nullptr;
    AlignedBuffer<T> logits, narrow;
    std::vector<float> head;  // log-probabilities of the head's entries, or of a selection
  };
  struct Prediction {
    double temperature = 1.0;    // divides logits, and of adaptive softmax features, as in fairseq
    std::span<float> log_probs;  // [rows, vocab_size()]
    std::span<float> bounds = {};  // as StepOutput::bounds; written where all logits are at hand
  };
  // What follows features [rows, dim], which adaptive softmax overwrites.
  void apply(T* features, std::int64_t rows, const Prediction& out, Scratch& scratch,
             ThreadPool& pool) const;

 private:
  struct Cluster {
    std::int64_t begin = 0;  // tokens begin .. begin + output.outputs() - 1
    kernels::PackedMatrix<T> project;
    kernels::PackedMatrix<T> output;
  };
  void load_plain(TensorReader<T>& reader);
  void load_adaptive(TensorReader<T>& reader, const TransformerConfig& config);
  void apply_selected(const T* features, std::int64_t rows, const Prediction& out, Scratch& scratch,
                      ThreadPool& pool) const;
  void apply_adaptive(const T* features, std::int64_t rows, std::span<float> log_probs,
                      Scratch& scratch, ThreadPool& pool) const;
  void apply_cluster(std::size_t index, const T* features, std::int64_t rows,
                     std::span<float> log_probs, Scratch& scratch, ThreadPool& pool) const;

  std::int64_t dim_;
  std::int64_t vocab_size_ = 0;
  kernels::PackedMatrix<T> output_;  // plain; or the words of the head
  std::span<const T> bias_;
  // Adaptive softmax. Features of another width than the tied table's pass a projection first.
  kernels::PackedMatrix<T> head_project_;
  kernels::PackedMatrix<T> head_clusters_;  // where the head's words are tied to the input's table
  std::vector<Cluster> clusters_;
};

}  // namespace elbeam::model
