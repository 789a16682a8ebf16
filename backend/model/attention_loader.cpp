#include "model/attention_loader.hpp"

#include "base/check.hpp"

namespace elbeam::model {
namespace {

template <typename T>
attention::Projection<T> read_projection(TensorReader<T>& reader, const std::string& name,
                                         std::int64_t outputs, std::int64_t inputs) {
  return {reader.loan(name + ".weight", {.rows = outputs, .columns = inputs}),
          reader.optional_vector(name + ".bias", outputs)};
}

}  // namespace

template <typename T>
attention::Source<T> attention_source(TensorReader<T>& reader, const std::string& prefix,
                                      const AttentionShape& shape) {
  const std::int64_t d = shape.dim;
  ELBEAM_CHECK(shape.heads >= 1 && d % shape.heads == 0, ErrorCode::kModel, reader.path(), ": ",
               prefix, ": the width ", d, " is not a multiple of ", shape.heads,
               " attention heads");
  attention::Source<T> source;
  source.heads = shape.heads;
  source.dim = d;
  source.key_dim = shape.key_dim;
  source.storage = reader.storage();
  source.name = prefix;
  source.store = reader.store();
  if (reader.has(prefix + ".in_proj_weight")) {
    ELBEAM_CHECK(shape.key_dim == d, ErrorCode::kModel, reader.path(), ": ", prefix,
                 ".in_proj_weight: keys of width ", shape.key_dim, " do not fit queries of width ",
                 d);
    const auto bias = reader.optional_vector(prefix + ".in_proj_bias", 3 * d);
    attention::Projection<T>* parts[] = {&source.q, &source.k, &source.v};
    for (std::int64_t i = 0; i < 3; ++i) {
      parts[i]->weight = reader.loan(prefix + ".in_proj_weight",
                                     {.rows = 3 * d, .columns = d, .first = i * d, .count = d});
      if (!bias.empty()) parts[i]->bias = bias.subspan(usize(i * d), usize(d));
    }
  } else {
    source.q = read_projection(reader, prefix + ".q_proj", d, d);
    source.k = read_projection(reader, prefix + ".k_proj", d, shape.key_dim);
    source.v = read_projection(reader, prefix + ".v_proj", d, shape.key_dim);
  }
  source.out = read_projection(reader, prefix + ".out_proj", d, d);
  return source;
}

template <typename T>
attention::Weights<T> load_attention(TensorReader<T>& reader, const std::string& prefix,
                                     const AttentionShape& shape) {
  return attention::Weights<T>(attention_source(reader, prefix, shape));
}

template attention::Source<float> attention_source(TensorReader<float>&, const std::string&,
                                                   const AttentionShape&);
template attention::Weights<float> load_attention(TensorReader<float>&, const std::string&,
                                                  const AttentionShape&);
template attention::Weights<double> load_attention(TensorReader<double>&, const std::string&,
                                                   const AttentionShape&);

}  // namespace elbeam::model
