// What the kernels of a decode step are given: plain data, the same for every device. All pointers
// are device memory. "Row" is a hypothesis of the step; a group is the rows of one sentence, which
// lie next to each other. T is float, Half or BFloat16.
#pragma once

#include "kernels/core/element.hpp"
#include "kernels/kernels.hpp"

#include <cstdint>
#include <limits>

namespace elbeam::kernels {

// A launch: blocks, threads of a block, bytes of shared memory, the device's stream, and how many
// blocks along x run together (sm_90).
struct Launch {
  int grid_x = 1;
  int grid_y = 1;
  int grid_z = 1;
  int threads = 32;
  int shared_bytes = 0;
  void* stream = nullptr;
  int cluster = 1;
};

// Elements from one key in shared memory to the next. Rows end with whole registers of the lanes
// that share them. Where those are 4 lanes, 64 bytes of two rows are read at once: rows of whole
// turns of the banks, 128 bytes, get 64 more, so that the two lie in different banks.
ELBEAM_PORTABLE int staged_stride(int lanes, int elements, int width, int element_size) {
  const int columns = lanes * elements;
  const int stride = (width + columns - 1) / columns * columns;
  return lanes == 4 && stride * element_size % 128 == 0 ? stride + 64 / element_size : stride;
}

// How far a run has come; sentences may have begun in any of its steps. It lives in device memory,
// so that a captured step can be replayed.
struct StepState {
  std::int32_t step;        // the step that runs, from 0
  std::int32_t groups;      // sentences that are alive
  std::int32_t rows;        // groups * group_rows
  std::int32_t group_rows;  // rows of each group in this step
};

// x = LayerNorm(scale * tokens[token] + positions[position]). position_of is [rows], or nullptr;
// with a state the step is added to it.
template <typename T>
struct EmbedArgs {
  const std::int32_t* tokens = nullptr;  // [rows]
  const std::int32_t* position_of = nullptr;
  const StepState* state = nullptr;
  const T* token_table = nullptr;     // [vocab, dim]
  const T* position_table = nullptr;  // [positions, dim] or nullptr
  const T* gain = nullptr;            // nullptr: no LayerNorm
  const T* bias = nullptr;
  T* x = nullptr;  // [rows, dim]
  std::int32_t rows = 0;
  std::int32_t dim = 0;
  float scale = 1.0F;
};

// sum = x + bias + residual, normalised = LayerNorm(sum). What is nullptr is left out: bias,
// residual, sum, normalised; gain nullptr: no LayerNorm.
template <typename T>
struct NormArgs {
  const T* x = nullptr;  // [rows, dim]
  const T* bias = nullptr;
  const T* residual = nullptr;
  T* sum = nullptr;  // may be x or residual
  const T* gain = nullptr;
  const T* norm_bias = nullptr;
  T* normalised = nullptr;
  std::int32_t rows = 0;
  std::int32_t dim = 0;
};

// x = activation(x + bias) over [rows, dim].
template <typename T>
struct ActivationArgs {
  T* x = nullptr;
  const T* bias = nullptr;  // [dim] or nullptr
  std::int64_t rows = 0;
  std::int32_t dim = 0;
  Activation activation = Activation::kNone;
};

// A part of the tokens that a sentence's rows attend to.
struct KeyRange {
  std::int32_t group;      // index into rows_of
  std::int32_t first_key;  // token
  std::int32_t keys;       // at least 1
  std::int32_t part;       // of the `parts` that the sentence is split into
  std::int32_t parts;
};
struct RowRange {
  std::int32_t first;
  std::int32_t count;  // 0: the sentence has finished
};

// Attention of rows to tokens that lie one after another: EL cross-attention (keys = values =
// hidden states, width = d, a row for each head), beam-shared multi-head cross-attention, and the
// encoder's self-attention (a head for each block_z, width = d_k). Row m of a group is
// queries + (first * query_rows + m) * query_stride, m < count * query_rows. block_x is
// (range * chunks + chunk) * row_blocks + row block: blocks that read the same keys start one after
// another, so that the keys come from memory once. A launch may have a slice of the rows only:
// queries, out, and the parts' rows are then those of the slice.
template <typename T>
struct ContiguousArgs {
  const KeyRange* ranges = nullptr;
  const RowRange* rows_of = nullptr;
  const T* queries = nullptr;
  const T* keys = nullptr;    // [tokens] with stride key_stride
  const T* values = nullptr;  // equal to keys: one copy serves both
  T* out = nullptr;
  std::int64_t query_stride = 0;
  std::int64_t key_stride = 0;
  std::int64_t out_stride = 0;
  std::int64_t key_rows = 0;   // of `keys`, all tokens: what bulk copies have to know
  std::int32_t first_row = 0;  // of the slice, as rows_of counts them
  std::int32_t end_row = std::numeric_limits<std::int32_t>::max();
  std::int32_t query_rows = 1;  // rows of `queries` for each row of the group
  std::int32_t width = 0;
  std::int32_t head_stride = 0;  // from one head's columns to the next
  std::int32_t chunks = 1;       // of the output's columns, where a row is wider than registers
  std::int32_t row_blocks = 1;   // that a range's rows are shared out to
  std::int32_t tile_keys = 0;    // that shared memory has room for, twice
  float scale = 1.0F;
  // Results of parts: [part][rows of `queries`][head] sums, each [width], then maximum and sum.
  float* partial = nullptr;
  float* partial_stats = nullptr;
  std::int64_t partial_rows = 0;  // of `queries`, all of them, parts or not
};

// Merges the parts of ContiguousArgs by their log-sum-exp. One block for each row of queries.
template <typename T>
struct MergeArgs {
  const float* partial = nullptr;
  const float* partial_stats = nullptr;
  const std::int32_t* parts_of_row = nullptr;  // [rows of the batch] or 0 where it has finished
  T* out = nullptr;
  std::int64_t out_stride = 0;
  std::int64_t partial_rows = 0;
  std::int32_t query_rows = 1;
  std::int32_t width = 0;
  std::int32_t heads = 1;
  std::int32_t head_stride = 0;
};

// One page of the self-attention cache: kPageSteps steps of `rows` slots.
inline constexpr std::int32_t kPageSteps = 16;
template <typename T>
struct CachePage {
  T* data = nullptr;
  std::int64_t rows = 0;
};

template <typename T>
struct PagedCache {
  const CachePage<T>* pages = nullptr;
  // [rows, ancestor_stride] the slot of each step of the row's sentence, its own last; those of
  // even steps and those of odd ones, since a step reads the one before.
  const std::int32_t* ancestors[2] = {nullptr, nullptr};
  std::int64_t ancestor_stride = 0;
  const std::int32_t* first_of_row = nullptr;  // [rows] step that the row's sentence began in
  std::int64_t slot_width = 0;                 // numbers of a slot, all layers
  std::int64_t layer_offset = 0;               // of this layer in a slot
};

// Writes columns [first_column, first_column + width) of x into the rows' own slots.
template <typename T>
struct StoreArgs {
  const StepState* state = nullptr;
  PagedCache<T> cache;
  const T* x = nullptr;
  std::int64_t x_stride = 0;
  std::int32_t first_column = 0;
  std::int32_t width = 0;
};

// Attention of each row to its own history: EL (query_rows = heads, width = d, values = keys) or
// multi-head (block_z is the head). Rows of a group that share an ancestor read its slot once.
// block_x is (group * chunks + chunk) * row_blocks + row block, as in ContiguousArgs; in a slice of
// the rows groups count from first_group, and queries, out, ancestors, first steps and parts begin
// with its rows.
template <typename T>
struct PagedArgs {
  const StepState* state = nullptr;
  PagedCache<T> cache;
  const T* queries = nullptr;
  T* out = nullptr;
  std::int64_t query_stride = 0;  // between rows of `queries`
  std::int64_t out_stride = 0;
  std::int32_t query_rows = 1;
  std::int32_t width = 0;
  std::int32_t head_stride = 0;
  std::int32_t chunks = 1;
  std::int32_t row_blocks = 1;
  std::int32_t value_offset = 0;  // from a slot's key to its value; 0: the same
  std::int32_t tile_slots = 0;    // that shared memory has room for
  std::int32_t first_group = 0;
  float scale = 1.0F;
  // Only for rows that attend to other tokens too, as parts in front of this one: see
  // ContiguousArgs and MergeArgs.
  const std::int32_t* parts_of_row = nullptr;
  float* partial = nullptr;
  float* partial_stats = nullptr;
  std::int64_t partial_rows = 0;
};

// log_probs = log_softmax(logits / temperature); with targets, of these only.
template <typename T>
struct LogProbArgs {
  const T* logits = nullptr;   // [rows, vocab]
  float* log_probs = nullptr;  // [rows, vocab], or [rows]
  std::int32_t rows = 0;
  std::int32_t vocab = 0;
  float temperature = 1.0F;
  const std::int32_t* targets = nullptr;  // [rows] or nullptr
};

// The next step's rows: row r continues row parents[r] of the step before, and has a slot of its
// own; nothing is continued in a sentence's first step.
struct AdvanceArgs {
  const StepState* state = nullptr;  // of the next step
  const std::int32_t* parents = nullptr;
  std::int32_t* ancestors[2] = {nullptr, nullptr};
  std::int64_t ancestor_stride = 0;
  const std::int32_t* first_of_row = nullptr;
  const std::int32_t* slot_of_row = nullptr;
};

}  // namespace elbeam::kernels
