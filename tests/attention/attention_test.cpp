// EL-attention against multi-head attention, and both against fairseq's formula written as loops.
#include "attention/cross_attention.hpp"
#include "attention/encoder_attention.hpp"
#include "attention/self_attention.hpp"
#include "support/random_matrix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace elbeam::attention {
namespace {

using testing_support::random_int;
using testing_support::random_values;

// Random projections of one block; every bias is non-zero, so that the dropped key bias and the
// folded value bias are put to the test.
template <typename T>
struct Block {
  std::int64_t heads, dim, key_dim;
  std::vector<T> q, k, v, out, q_bias, k_bias, v_bias, out_bias;

  Block(std::mt19937& rng, std::int64_t h, std::int64_t head_dim, std::int64_t kd)
      : heads(h), dim(h * head_dim), key_dim(kd) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
    q = random_values<T>(rng, dim * dim, scale);
    k = random_values<T>(rng, dim * key_dim, scale);
    v = random_values<T>(rng, dim * key_dim, scale);
    out = random_values<T>(rng, dim * dim, scale);
    q_bias = random_values<T>(rng, dim);
    k_bias = random_values<T>(rng, dim);
    v_bias = random_values<T>(rng, dim);
    out_bias = random_values<T>(rng, dim);
  }
  Source<T> source() const {
    const auto lying = [](const std::vector<T>& weight) {
      return [&weight] { return SharedArray<T>{weight, nullptr}; };
    };
    return {{lying(q), q_bias},
            {lying(k), k_bias},
            {lying(v), v_bias},
            {lying(out), out_bias},
            heads,
            dim,
            key_dim};
  }
};

// y[outputs] = W x + b.
template <typename T>
std::vector<double> project(const std::vector<T>& weight, const std::vector<T>& bias,
                            const double* x, std::int64_t inputs) {
  std::vector<double> y(bias.size());
  for (std::size_t o = 0; o < y.size(); ++o) {
    y[o] = static_cast<double>(bias[o]);
    for (std::int64_t i = 0; i < inputs; ++i)
      y[o] += static_cast<double>(weight[o * usize(inputs) + usize(i)]) * x[i];
  }
  return y;
}

// fairseq MultiheadAttention for one query over `length` keys.
template <typename T>
std::vector<double> reference(const Block<T>& block, const double* x,
                              const std::vector<std::vector<double>>& memory) {
  const std::int64_t dk = block.dim / block.heads;
  std::vector<double> query = project(block.q, block.q_bias, x, block.dim);
  for (double& value : query) value /= std::sqrt(static_cast<double>(dk));
  std::vector<double> context(usize(block.dim), 0.0);
  std::vector<std::vector<double>> keys, values;
  for (const auto& row : memory) {
    keys.push_back(project(block.k, block.k_bias, row.data(), block.key_dim));
    values.push_back(project(block.v, block.v_bias, row.data(), block.key_dim));
  }
  for (std::int64_t h = 0; h < block.heads; ++h) {
    std::vector<double> p(memory.size());
    for (std::size_t t = 0; t < memory.size(); ++t) {
      double dot = 0.0;
      for (std::int64_t i = 0; i < dk; ++i)
        dot += query[usize(h * dk + i)] * keys[t][usize(h * dk + i)];
      p[t] = std::exp(dot);
    }
    const double total = std::accumulate(p.begin(), p.end(), 0.0);
    for (std::size_t t = 0; t < memory.size(); ++t) {
      for (std::int64_t i = 0; i < dk; ++i)
        context[usize(h * dk + i)] += p[t] / total * values[t][usize(h * dk + i)];
    }
  }
  return project(block.out, block.out_bias, context.data(), block.dim);
}

template <typename T>
std::vector<double> to_double(const T* x, std::int64_t n) {
  return {x, x + n};
}

double max_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

struct CrossCase {
  std::int64_t sentences, beam, heads, head_dim, key_dim;
};

// Largest differences of one random cross-attention: EL to MHA, EL to the loops.
template <typename T>
std::pair<double, double> run_cross(std::mt19937& rng, const CrossCase& c, ThreadPool& pool) {
  const Block<T> block(rng, c.heads, c.head_dim, c.key_dim);
  Weights<T> weights(block.source());
  weights.prepare(Kind::kMha);
  weights.prepare(Kind::kEl);
  EncoderOut<T> encoder_out;
  encoder_out.dim = c.key_dim;
  encoder_out.offsets.push_back(0);
  for (std::int64_t s = 0; s < c.sentences; ++s)
    encoder_out.offsets.push_back(encoder_out.offsets.back() + random_int(rng, 1, 40));
  const auto hidden = random_values<T>(rng, encoder_out.offsets.back() * c.key_dim);
  encoder_out.hidden.reserve(ssize(hidden.size()));
  std::copy(hidden.begin(), hidden.end(), encoder_out.hidden.data());
  const CrossKeysValues<T> keys_values(weights, encoder_out, pool);
  // Some sentences have finished already: their rows are gone.
  std::vector<SentenceRows> live;
  std::int64_t rows = 0;
  for (std::int64_t s = 0; s < c.sentences; ++s) {
    if (s > 0 && random_int(rng, 0, 3) == 0) continue;
    live.push_back({s, rows, c.beam});
    rows += c.beam;
  }
  const auto x = random_values<T>(rng, rows * block.dim);
  const auto residual = random_values<T>(rng, rows * block.dim);
  std::vector<T> el(x.size()), mha(x.size());
  Workspace<T> work;
  CrossStep<T> step;
  step.weights = &weights;
  step.encoder_out = &encoder_out;
  step.live = live;
  step.rows = rows;
  step.x = x.data();
  step.residual = residual.data();
  step.y = el.data();
  cross_attention(step, work, pool);
  step.keys_values = &keys_values;
  step.y = mha.data();
  cross_attention(step, work, pool);
  double to_loops = 0.0;
  for (const SentenceRows& sentence : live) {
    std::vector<std::vector<double>> memory;
    for (std::int64_t t = 0; t < encoder_out.length(sentence.sentence); ++t) {
      memory.push_back(
          to_double(encoder_out.sentence(sentence.sentence) + t * c.key_dim, c.key_dim));
    }
    for (std::int64_t r = sentence.first_row; r < sentence.first_row + sentence.rows; ++r) {
      auto expected =
          reference(block, to_double(x.data() + r * block.dim, block.dim).data(), memory);
      for (std::int64_t i = 0; i < block.dim; ++i)
        expected[usize(i)] += static_cast<double>(residual[usize(r * block.dim + i)]);
      to_loops = std::max(
          to_loops, max_difference(expected, to_double(el.data() + r * block.dim, block.dim)));
    }
  }
  return {max_difference(to_double(el.data(), ssize(el.size())),
                         to_double(mha.data(), ssize(mha.size()))),
          to_loops};
}

TEST(CrossAttention, ElEqualsMultiHeadInDoublePrecision) {
  std::mt19937 rng(11);
  ThreadPool one(1), three(3);
  double el_to_mha = 0.0, el_to_loops = 0.0;
  for (int round = 0; round < 500; ++round) {
    const CrossCase c{random_int(rng, 1, 4), random_int(rng, 1, 6), random_int(rng, 1, 6),
                      random_int(rng, 1, 24), random_int(rng, 1, 80)};
    const auto [to_mha, to_loops] = run_cross<double>(rng, c, round % 2 == 0 ? one : three);
    el_to_mha = std::max(el_to_mha, to_mha);
    el_to_loops = std::max(el_to_loops, to_loops);
  }
  RecordProperty("max_difference", std::to_string(el_to_mha));
  EXPECT_LE(el_to_mha, 1e-10);
  EXPECT_LE(el_to_loops, 1e-10);
}

TEST(CrossAttention, ElEqualsMultiHeadInSinglePrecision) {
  std::mt19937 rng(12);
  ThreadPool pool(2);
  for (int round = 0; round < 100; ++round) {
    const CrossCase c{random_int(rng, 1, 4), random_int(rng, 1, 6), random_int(rng, 1, 6),
                      random_int(rng, 1, 24), random_int(rng, 1, 80)};
    const auto [to_mha, to_loops] = run_cross<float>(rng, c, pool);
    EXPECT_LE(to_mha, 1e-4);
    EXPECT_LE(to_loops, 1e-4);
  }
}

// A row's own history as the test keeps it: inputs of all steps, copied at each reorder.
template <typename T>
using Histories = std::vector<std::vector<std::vector<double>>>;

template <typename T>
double run_self(std::mt19937& rng, Kind kind, ThreadPool& pool) {
  const std::int64_t layers = 2;
  std::vector<Block<T>> blocks;
  std::vector<Weights<T>> weights;
  const std::int64_t heads = random_int(rng, 1, 4), head_dim = random_int(rng, 1, 20);
  for (std::int64_t l = 0; l < layers; ++l)
    blocks.emplace_back(rng, heads, head_dim, heads * head_dim);
  for (const Block<T>& block : blocks) {
    weights.emplace_back(block.source());
    weights.back().prepare(Kind::kEl);
    weights.back().prepare_fused_qkv();
  }
  const std::int64_t dim = blocks[0].dim, max_rows = 8;
  SelfCache<T> cache(layers, self_cache_width(kind, dim), max_rows);
  std::vector<Histories<T>> histories(usize(layers));
  std::int64_t rows = 2;
  Workspace<T> work;
  double worst = 0.0;
  for (std::int64_t t = 0; t < 40; ++t) {  // more than two pages
    const std::int64_t next_rows = t == 0 ? rows
                                   : t == 1
                                       ? max_rows
                                       : random_int(rng, std::max<std::int64_t>(1, rows - 1), rows);
    std::vector<std::int64_t> parents;
    for (std::int64_t r = 0; r < next_rows; ++r) parents.push_back(random_int(rng, 0, rows - 1));
    cache.begin_step(parents);
    for (std::int64_t l = 0; l < layers; ++l) {
      const auto x = random_values<T>(rng, next_rows * dim);
      std::vector<T> y(x.size(), T{0}), zero(x.size(), T{0});
      self_attention<T>({&weights[usize(l)], kind, l, x.data(), zero.data(), y.data()}, cache, work,
                        pool);
      Histories<T> next;
      for (std::int64_t r = 0; r < next_rows; ++r) {
        next.push_back(t == 0 ? std::vector<std::vector<double>>{}
                              : histories[usize(l)][usize(parents[usize(r)])]);
        next.back().push_back(to_double(x.data() + r * dim, dim));
        const auto expected = reference(blocks[usize(l)], next.back().back().data(), next.back());
        worst = std::max(worst, max_difference(expected, to_double(y.data() + r * dim, dim)));
      }
      histories[usize(l)] = std::move(next);
    }
    rows = next_rows;
  }
  return worst;
}

TEST(SelfAttention, FollowsAncestorsThroughReordersInBothKinds) {
  std::mt19937 rng(13);
  ThreadPool pool(2);
  for (int round = 0; round < 10; ++round) {
    EXPECT_LE(run_self<double>(rng, Kind::kMha, pool), 1e-10);
    EXPECT_LE(run_self<double>(rng, Kind::kEl, pool), 1e-10);
    EXPECT_LE(run_self<float>(rng, Kind::kMha, pool), 1e-4);
    EXPECT_LE(run_self<float>(rng, Kind::kEl, pool), 1e-4);
  }
}

TEST(SelfCache, ElNeedsHalfTheBytesAndPagesShrinkWithTheRows) {
  SelfCache<float> el(3, self_cache_width(Kind::kEl, 64), 10),
      mha(3, self_cache_width(Kind::kMha, 64), 10);
  const std::vector<std::int64_t> two{0, 1}, ten{0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
  for (SelfCache<float>* cache : {&el, &mha}) {
    cache->begin_step(two);
    for (int t = 1; t < 16; ++t) cache->begin_step(ten);
  }
  EXPECT_EQ(el.bytes() * 2, mha.bytes());
  const std::int64_t full_page = el.bytes();
  el.begin_step(two);  // a new page, for two rows
  EXPECT_EQ(el.bytes() - full_page, full_page / 5);
}

TEST(SelfCache, RefusesRowsThatDoNotExist) {
  SelfCache<float> cache(1, 8, 4);
  const std::vector<std::int64_t> rows{0, 1}, bad{0, 2}, many{0, 0, 0, 0, 0}, none;
  cache.begin_step(rows);
  EXPECT_THROW(cache.begin_step(bad), Error);
  EXPECT_THROW(cache.begin_step(many), Error);
  EXPECT_THROW(cache.begin_step(none), Error);
}

TEST(EncoderAttention, SentencesDoNotSeeEachOther) {
  std::mt19937 rng(14);
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    const Block<double> block(rng, random_int(rng, 1, 4), random_int(rng, 1, 20), 1);
    Block<double> same = block;
    same.key_dim = same.dim;
    same.k = random_values<double>(rng, same.dim * same.dim, 0.2);
    same.v = random_values<double>(rng, same.dim * same.dim, 0.2);
    Weights<double> weights(same.source());
    weights.prepare_fused_qkv();
    std::vector<std::int64_t> offsets{0};
    for (int s = 0; s < 3; ++s) offsets.push_back(offsets.back() + random_int(rng, 1, 120));
    const auto x = random_values<double>(rng, offsets.back() * same.dim);
    const std::vector<double> zero(x.size(), 0.0);
    std::vector<double> y(x.size());
    Workspace<double> work;
    encoder_attention<double>({&weights, offsets, x.data(), zero.data(), y.data()}, work, pool);
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
      std::vector<std::vector<double>> memory;
      for (std::int64_t t = offsets[s]; t < offsets[s + 1]; ++t)
        memory.push_back(to_double(x.data() + t * same.dim, same.dim));
      const std::int64_t t = random_int(rng, 0, ssize(memory.size()) - 1);
      const auto expected = reference(same, memory[usize(t)].data(), memory);
      EXPECT_LE(
          max_difference(expected, to_double(y.data() + (offsets[s] + t) * same.dim, same.dim)),
          1e-10);
    }
  }
}

}  // namespace
}  // namespace elbeam::attention
