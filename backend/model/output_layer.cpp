#include "model/output_layer.hpp"

#include <elbeam/step_model.hpp>

#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

namespace elbeam::model {
namespace {

const std::string kAdaptive = "decoder.adaptive_softmax";

template <typename T>
void multiply(const kernels::PackedMatrix<T>& matrix, const T* x, std::int64_t rows, T* y,
              std::int64_t ld, ThreadPool& pool) {
  matrix.multiply({x, matrix.inputs()}, rows, {y, ld}, {}, pool);
}

// The transpose of a matrix that is stored as [inputs, outputs].
template <typename T>
kernels::PackedMatrix<T> load_turned(TensorReader<T>& reader, const std::string& name,
                                     std::int64_t outputs, std::int64_t inputs) {
  const auto read = reader.loan(name, {.rows = inputs, .columns = outputs});
  return reader.store()->matrix(name + ".turned", {outputs, inputs}, [&] {
    const SharedArray<T> stored = read();
    AlignedBuffer<T> turned(checked_mul(outputs, inputs));
    for (std::int64_t r = 0; r < inputs; ++r) {
      for (std::int64_t c = 0; c < outputs; ++c)
        turned.data()[c * inputs + r] = stored.values[usize(r * outputs + c)];
    }
    return kernels::PackedMatrix<T>(turned.data(), inputs, outputs, inputs, reader.storage());
  });
}

}  // namespace

template <typename T>
OutputLayer<T>::OutputLayer(TensorReader<T>& reader, const TransformerConfig& config,
                            std::int64_t dim, std::int64_t embedded_tokens)
    : dim_(dim) {
  const bool adaptive = reader.has(kAdaptive + ".tail.0.2.weight") ||
                        reader.has(kAdaptive + ".head.weight") ||
                        reader.has(kAdaptive + ".head.class_proj.weight");
  if (adaptive) {
    load_adaptive(reader, config);
  } else {
    load_plain(reader);
  }
  ELBEAM_CHECK(vocab_size_ == embedded_tokens, ErrorCode::kModel, reader.path(),
               ": the output layer has ", vocab_size_, " tokens, decoder.embed_tokens has ",
               embedded_tokens);
}

template <typename T>
void OutputLayer<T>::load_plain(TensorReader<T>& reader) {
  // Untied, tied under its own name, old name of untied, tied without a name of its own.
  std::string name = "decoder.output_projection.weight";
  if (!reader.has(name))
    name = reader.has("decoder.embed_out") ? "decoder.embed_out" : "decoder.embed_tokens.weight";
  vocab_size_ = reader.extent(name, 2, 0);
  output_ = reader.packed(name, vocab_size_, dim_);
  bias_ = reader.optional_vector("decoder.output_projection.bias", vocab_size_);
}

// fairseq/modules/adaptive_softmax.py AdaptiveSoftmax.__init__.
template <typename T>
void OutputLayer<T>::load_adaptive(TensorReader<T>& reader, const TransformerConfig& config) {
  ELBEAM_CHECK(reader.has(kAdaptive + ".version"), ErrorCode::kUnsupported, reader.path(), ": ",
               kAdaptive, ".version is missing: fairseq no longer supports this kind of model");
  const std::string head = kAdaptive + ".head";
  std::int64_t words = 0;
  if (reader.has(head + ".weight")) {  // words and clusters in one matrix
    output_ = load_linear(reader, head, dim_);
  } else {
    const bool projected = reader.has(head + ".word_proj.0.weight");
    if (projected) head_project_ = load_linear(reader, head + ".word_proj.0", dim_);
    output_ = load_linear(reader, head + (projected ? ".word_proj.1" : ".word_proj"),
                          projected ? head_project_.outputs() : dim_);
    head_clusters_ = load_linear(reader, head + ".class_proj", dim_);
    words = output_.outputs();
  }
  for (std::int64_t i = 0; reader.has(concat(kAdaptive, ".tail.", i, ".2.weight")); ++i) {
    const std::string tail = concat(kAdaptive, ".tail.", i);
    Cluster cluster;
    const std::int64_t width = reader.extent(tail + ".2.weight", 2, 1);
    if (config.tie_adaptive_projections) {  // the input's projection, used the other way round
      cluster.project = load_turned(reader, tail + ".0.weight", width, dim_);
    } else {
      cluster.project = load_linear(reader, tail + ".0", dim_);
    }
    cluster.output = load_linear(reader, tail + ".2", cluster.project.outputs());
    clusters_.push_back(std::move(cluster));
  }
  const std::int64_t classes = ssize(clusters_.size());
  if (head_clusters_.outputs() == 0) words = output_.outputs() - classes;
  ELBEAM_CHECK(words >= 1 && (head_clusters_.outputs() == 0 || head_clusters_.outputs() == classes),
               ErrorCode::kModel, reader.path(), ": ", head, ": expected ", classes,
               " clusters and at least one word, got ", output_.outputs(), " and ",
               head_clusters_.outputs(), " outputs");
  vocab_size_ = words;
  for (Cluster& cluster : clusters_) {
    cluster.begin = vocab_size_;
    vocab_size_ += cluster.output.outputs();
  }
}

template <typename T>
void OutputLayer<T>::apply(T* features, std::int64_t rows, const Prediction& out, Scratch& scratch,
                           ThreadPool& pool) const {
  const std::span<float> log_probs = out.log_probs;
  ELBEAM_INVARIANT(ssize(log_probs.size()) >= checked_mul(rows, vocab_size_));
  if (!clusters_.empty()) {
    if (out.temperature != 1.0) {
      for (std::int64_t i = 0; i < rows * dim_; ++i) features[i] /= static_cast<T>(out.temperature);
    }
    apply_adaptive(features, rows, log_probs, scratch, pool);
    return;
  }
  if (scratch.selection != nullptr) {
    return apply_selected(features, rows, out, scratch, pool);
  }
  T* logits = nullptr;
  if constexpr (std::is_same_v<T, float>) {
    logits = log_probs.data();  // normalised in place
  } else {
    scratch.logits.reserve(checked_mul(rows, vocab_size_));
    logits = scratch.logits.data();
  }
  output_.multiply({features, dim_}, rows, {logits, vocab_size_},
                   {.bias = bias_.empty() ? nullptr : bias_.data()}, pool);
  static_assert(kBoundWidth == kernels::kBoundWidth);
  pool.parallel_for(rows, [&](std::int64_t row) {
    float* bounds =
        out.bounds.empty() ? nullptr : out.bounds.data() + row * bound_count(vocab_size_);
    kernels::kernels<T>().log_softmax(logits + row * vocab_size_, vocab_size_,
                                      static_cast<T>(out.temperature),
                                      log_probs.data() + row * vocab_size_, bounds);
  });
}

template <typename T>
typename OutputLayer<T>::Selection OutputLayer<T>::select(std::vector<std::int64_t> tokens) const {
  ELBEAM_CHECK(clusters_.empty(), ErrorCode::kUnsupported,
               "adaptive softmax cannot be computed for a part of the vocabulary; leave out "
               "--vocabulary-list and --lexical-shortlist");
  Selection selection;
  selection.matrix = output_.select(tokens);
  for (const std::int64_t token : tokens) {
    if (!bias_.empty()) selection.bias.push_back(bias_[usize(token)]);
  }
  selection.tokens = std::move(tokens);
  return selection;
}

template <typename T>
void OutputLayer<T>::apply_selected(const T* features, std::int64_t rows, const Prediction& out,
                                    Scratch& scratch, ThreadPool& pool) const {
  const Selection& selection = *scratch.selection;
  const std::int64_t count = ssize(selection.tokens.size());
  scratch.logits.reserve(checked_mul(rows, count));
  scratch.head.resize(usize(rows * count));
  T* logits = scratch.logits.data();
  selection.matrix.multiply({features, dim_}, rows, {logits, count},
                            {.bias = selection.bias.empty() ? nullptr : selection.bias.data()},
                            pool);
  pool.parallel_for(rows, [&](std::int64_t row) {
    float* part = scratch.head.data() + row * count;
    kernels::kernels<T>().log_softmax(logits + row * count, count, static_cast<T>(out.temperature),
                                      part, nullptr);
    float* all = out.log_probs.data() + row * vocab_size_;
    std::fill_n(all, vocab_size_, -std::numeric_limits<float>::infinity());
    for (std::int64_t i = 0; i < count; ++i) all[selection.tokens[usize(i)]] = part[i];
  });
}

// AdaptiveSoftmax.get_log_prob without targets: the head's distribution, in which each cluster has
// one entry; its words share that probability by the cluster's own softmax.
template <typename T>
void OutputLayer<T>::apply_adaptive(const T* features, std::int64_t rows,
                                    std::span<float> log_probs, Scratch& scratch,
                                    ThreadPool& pool) const {
  const std::int64_t words = clusters_.front().begin;
  const std::int64_t entries = words + ssize(clusters_.size());
  scratch.logits.reserve(checked_mul(rows, entries));
  T* logits = scratch.logits.data();
  if (head_clusters_.outputs() != 0) {
    const T* input = features;
    if (head_project_.outputs() != 0) {
      scratch.narrow.reserve(checked_mul(rows, head_project_.outputs()));
      multiply(head_project_, features, rows, scratch.narrow.data(), head_project_.outputs(), pool);
      input = scratch.narrow.data();
    }
    multiply(output_, input, rows, logits, entries, pool);
    multiply(head_clusters_, features, rows, logits + words, entries, pool);
  } else {
    multiply(output_, features, rows, logits, entries, pool);
  }
  std::vector<float>& head = scratch.head;
  head.resize(usize(checked_mul(rows, entries)));
  pool.parallel_for(rows, [&](std::int64_t row) {
    float* entry = head.data() + row * entries;
    kernels::kernels<T>().log_softmax(logits + row * entries, entries, T{1}, entry, nullptr);
    std::copy_n(entry, words, log_probs.data() + row * vocab_size_);
  });
  for (std::size_t i = 0; i < clusters_.size(); ++i)
    apply_cluster(i, features, rows, log_probs, scratch, pool);
}

template <typename T>
void OutputLayer<T>::apply_cluster(std::size_t index, const T* features, std::int64_t rows,
                                   std::span<float> log_probs, Scratch& scratch,
                                   ThreadPool& pool) const {
  const Cluster& cluster = clusters_[index];
  const std::int64_t words = clusters_.front().begin;
  const std::int64_t entries = words + ssize(clusters_.size());
  const std::int64_t width = cluster.project.outputs();
  const std::int64_t count = cluster.output.outputs();
  scratch.narrow.reserve(checked_mul(rows, width));
  scratch.logits.reserve(checked_mul(rows, count));
  multiply(cluster.project, features, rows, scratch.narrow.data(), width, pool);
  multiply(cluster.output, scratch.narrow.data(), rows, scratch.logits.data(), count, pool);
  pool.parallel_for(rows, [&](std::int64_t row) {
    float* out = log_probs.data() + row * vocab_size_ + cluster.begin;
    kernels::kernels<T>().log_softmax(scratch.logits.data() + row * count, count, T{1}, out,
                                      nullptr);
    const float prior = scratch.head[usize(row * entries + words) + index];
    for (std::int64_t i = 0; i < count; ++i) out[i] += prior;
  });
}

template class OutputLayer<float>;
template class OutputLayer<double>;

}  // namespace elbeam::model
