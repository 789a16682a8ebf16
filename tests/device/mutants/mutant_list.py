"""The planted bugs: each is one textual edit of a file in backend/kernels/core."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str  # below backend/kernels/core
    what: str
    old: str  # occurs exactly once
    new: str
    tests: str  # filter of the tests that may see it
    part: str = "float"  # whose translation unit is compiled with it


CROSS = "CrossAttention*"
PAGED = "PagedAttention*"
BOTH = f"{CROSS}:{PAGED}"
ROWS = "Norm*:Embed*:LogProb*:Activate*"
VOCABULARY = "Vocabulary*"
WARPGROUP = "Warpgroup*"
SEARCH = "BeamStep*:Compact*:Advance*:Ngram*:Admit*"

_CROSS = [
    ("no barrier between a tile's copies and its use",
     "      block_barrier();  // every thread's copies have arrived\n", ""),
    ("no barrier before a tile is overwritten",
     "      block_barrier();  // the tile may be overwritten\n", ""),
    ("waits for one group of copies too few", "        wait_copies<1>();", "        wait_copies<2>();"),
    ("does not wait for the last tile",
     "      } else {\n        wait_copies<0>();", "      } else {\n        wait_copies<1>();"),
    ("the next tile is staged over the one in use", "tile(args, s ^ 1));", "tile(args, s));"),
    ("the last key of a tile is not staged",
     "for (int k = warp_index(); k < keys; k +=", "for (int k = warp_index(); k < keys - 1; k +="),
    ("every tile is the first", "range.first_key) + first + k)", "range.first_key) + k)"),
    ("the keys of head 0 for all heads",
     "args.key_stride +\n          static_cast<std::int64_t>(head) * args.head_stride;", "args.key_stride;"),
    ("keys for values", "stage_row_part(args.values + from,", "stage_row_part(args.keys + from,"),
    ("warps without a row write as well",
     "if (active) finish(args,", "finish(args,"),
    ("one row too many", "const bool active = warp_index() < rows;", "const bool active = warp_index() <= rows;"),
    ("two parts are taken for one", "if (range.parts == 1) {", "if (range.parts <= 2) {"),
    ("partial sums of all heads in one place",
     "(range.part * args.partial_rows + row) * heads + head;", "(range.part * args.partial_rows + row) * heads;"),
    ("the parts' totals are not written",
     "      args.partial_stats[2 * place + 1] = attention.total;\n    }\n  }\n};\n\ntemplate <typename G>\nstruct Contiguous",
     "    }\n  }\n};\n\ntemplate <typename G>\nstruct Contiguous"),
    ("every block has all rows",
     "for (int first = place.row_block * warps; first < count; first += args.row_blocks * warps)\n      attend(args, range,",
     "for (int first = 0; first < count; first += args.row_blocks * warps)\n      attend(args, range,"),
    ("blocks walk over each other's rows",
     "first += args.row_blocks * warps)\n      attend(args, range,", "first += warps)\n      attend(args, range,"),
    ("parts are summed without their weights",
     "        sum += args.partial[place(p) * args.width + c] *\n               expf(args.partial_stats[2 * place(p)] - shift);",
     "        sum += args.partial[place(p) * args.width + c];"),
    ("rows of the slice before", "all.first < args.first_row ? args.first_row : all.first;", "all.first;"),
    ("rows behind the slice", "all.first + all.count < args.end_row ? all.first + all.count : args.end_row;", "all.first + all.count;"),
    ("rows count from the batch's first", "return {first - args.first_row, end - first};", "return {first, end - first};"),
    ("the first part is left out of the total",
     "float total = 0.0F;\n    for (int p = 0; p < parts; ++p)", "float total = 0.0F;\n    for (int p = 1; p < parts; ++p)"),
]  # fmt: skip

_CAUSAL = [
    ("a token sees the next one",
     "const int seen = first_row + warp_index() + 1 -", "const int seen = first_row + warp_index() + 2 -"),
    ("a token does not see itself",
     "const int seen = first_row + warp_index() + 1 -", "const int seen = first_row + warp_index() -"),
    ("the last row's keys are left out", "const int last = first_row + (rows", "const int last = first_row - 1 + (rows"),
]  # fmt: skip

_PAGED = [
    ("no barrier before the list of slots is overwritten",
     "      block_barrier();  // the tile before is no longer read\n", ""),
    ("no barrier between the list of slots and its use",
     "list_slots(args, histories, step, steps, now);\n      block_barrier();", "list_slots(args, histories, step, steps, now);"),
    ("no barrier between copies and their use",
     "      wait_copies<0>();\n      block_barrier();\n      if (m < count)", "      wait_copies<0>();\n      if (m < count)"),
    ("copies are not waited for",
     "      wait_copies<0>();\n      block_barrier();\n      if (m < count)", "      block_barrier();\n      if (m < count)"),
    ("no barrier between the lanes that list slots",
     "      warp_barrier();\n      if (pair < pairs && !first)", "      if (pair < pairs && !first)"),
    ("slots of earlier turns are forgotten", "listed += count_bits(firsts);", "listed = count_bits(firsts);"),
    ("wrong lane mask: a lane counts itself",
     "listed + count_bits(firsts & ((1U << lane_index()) - 1U))", "listed + count_bits(firsts & ((2U << lane_index()) - 1U))"),
    ("no tail guard in the list of slots",
     "const bool first = pair < pairs && same == history;", "const bool first = same == history;"),
    ("a shared slot of another step", "to.map[same * steps + step];", "to.map[same * steps];"),
    ("the ancestors of the step before",
     "args.cache.ancestors[state.step % 2] + group_row", "args.cache.ancestors[(state.step + 1) % 2] + group_row"),
    ("wrong page", "cache.pages[step / kPageSteps];", "cache.pages[(step + 1) / kPageSteps];"),
    ("the slots of layer 0", "* cache.slot_width + cache.layer_offset;", "* cache.slot_width;"),
    ("keys for values of a slot", "stage_row_part(from + args.value_offset,", "stage_row_part(from,"),
    ("no guard for warps without a row", "    if (m >= count) return;\n", ""),
    ("always the first histories of a group",
     "ancestors[(first + history) % rows * stride + step]", "ancestors[history % rows * stride + step]"),
    ("the last step is left out where it opens a tile",
     "for (int step = 0; step <= last_step(); step += tile_steps)", "for (int step = 0; step < last_step(); step += tile_steps)"),
    ("own steps overwrite a part of the prompt", "((parts - 1) * args.partial_rows", "(0 * args.partial_rows"),
    ("the total of the own steps is not written",
     "      args.partial_stats[2 * place + 1] = attention.total;\n    }\n  }\n};\n\ntemplate <typename G>\nstruct Paged",
     "    }\n  }\n};\n\ntemplate <typename G>\nstruct Paged"),
    ("groups do not count from the slice's first", "if (args.first_group + place.item >= state.groups) return;", "if (place.item >= state.groups) return;"),
    ("the step itself is left out", "const int left = last_step() + 1 - step;", "const int left = last_step() - step;"),
]  # fmt: skip

_ATTENTION = [
    ("the total is not corrected for a new maximum", "      maximum = best;\n      total *= correction;\n      ELBEAM_UNROLL\n      for (int e = 0; e < G::kElements; ++e) sums[e] *= correction;\n      ELBEAM_UNROLL\n      for (int b = 0",
     "      maximum = best;\n      ELBEAM_UNROLL\n      for (int e = 0; e < G::kElements; ++e) sums[e] *= correction;\n      ELBEAM_UNROLL\n      for (int b = 0"),
    ("no tail guard where values are added", "        if (key >= count) continue;\n", ""),
    ("no tail guard where scores are computed", "if (key < count) scores[b] += partial_score", "scores[b] += partial_score"),
    ("queries are not scaled", "query[v * kVector<T> + i] = scale * values[i];", "query[v * kVector<T> + i] = values[i];"),
    ("scores are summed over lanes of other keys",
     "scores[b] = lanes_sum<G::kLanes>(scores[b]);", "scores[b] = lanes_sum<kWarp>(scores[b]);"),
    ("totals of the groups of lanes are not merged", "        total += shuffle_xor(total, bits);\n", ""),
    ("groups of lanes are weighted upside down", "expf(maximum - best);\n      maximum = best;", "expf(best - maximum);\n      maximum = best;"),
    ("one column too many is written", "if (first + i < columns) out", "if (first + i <= columns) out"),
    ("one column too many is read", "first + i < width ? to_float", "first + i <= width ? to_float"),
    ("nothing behind a staged row is cleared",
     "for (int c = width + thread; c < stride; c += threads)", "for (int c = width + thread; c < width; c += threads)"),
    ("vectors are written to any address", "if (aligned && first + kVector<O> <= columns) {", "if (first + kVector<O> <= columns) {"),
    ("vectors are read over the end of a row", "if (aligned && first + kVector<T> <= width) {", "if (aligned && first < width) {"),
]  # fmt: skip

_DEVICE = [
    ("a block's sum overwrites the one before", "  value = lanes_sum(value);\n  block_barrier();\n", "  value = lanes_sum(value);\n"),
    ("a block's sum is read before it is there", "scratch[warp_index()] = value;\n  block_barrier();\n", "scratch[warp_index()] = value;\n"),
    ("a sum over half of the lanes", "for (int bits = kLanes / 2; bits > 0; bits /= 2) value += ", "for (int bits = kLanes / 4; bits > 0; bits /= 2) value += "),
]  # fmt: skip

_ROWS = [
    ("no epsilon", "sqrtf(variance + kEpsilon)", "sqrtf(variance)"),
    ("no guard for rows that have left", "if (args.state != nullptr && row >= args.state->rows) return;", ""),
    ("no guard for the last block", "    if (row >= args.rows) return;\n", ""),
    ("the residual of row 0", "to_float(args.residual[first + c])", "to_float(args.residual[c])"),
    ("positions do not go on behind prompts", "if (args.state != nullptr) position += args.state->step;", ""),
    ("embeddings are not scaled", "args.scale * to_float(token[c])", "to_float(token[c])"),
    ("relu turns NaN to 0", "x > 0.0F ? x : (x == x ? 0.0F : x)", "x > 0.0F ? x : 0.0F"),
]  # fmt: skip

_VOCABULARY = [
    ("no tail guard behind the vocabulary", "token < args.vocab ? to_float(logits[token])", "token >= 0 ? to_float(logits[token])"),
    ("pad may be said", "if (token >= vocab || token == rules.pad) return false;", "if (token >= vocab) return false;"),
    ("the end comes a step too late", "length >= rules.min_len ||", "length > rules.min_len ||"),
    ("all sentences begin with the run", "state.step - limits.first_step;", "state.step;"),
    ("the last banned token is not", "i <= length; i += kWarp", "i < length; i += kWarp"),
    ("prompts do not count", "const int length = limits.prompt + steps;", "const int length = steps;"),
    ("a prefix is a token longer", "length < limits.prefix_width,", "length <= limits.prefix_width,"),
    ("a sentence is longer than it may be", "length < limits.max_len};", "length <= limits.max_len};"),
    ("no barrier before lists are merged", "    block_barrier();\n    if (warp_index() != 0) return;", "    if (warp_index() != 0) return;"),
    ("sums of parts without their maxima", "other_total * expf(other_maximum - shift)", "other_total"),
    ("the second warp's sum is left out", "for (int w = 1; w < warps; ++w) sum.add", "for (int w = 2; w < warps; ++w) sum.add"),
    ("no penalty for unknown words", "token == args.rules.unk ? x - args.rules.unk_penalty : x", "x"),
]  # fmt: skip

_LOG_PROB = [
    ("no barrier before the maximum is read", "if (lane_index() == 0) scratch[warp_index()] = best;\n    block_barrier();", "if (lane_index() == 0) scratch[warp_index()] = best;"),
    ("temperature is left out of the sum", "total += expf(to_float(args.logits[first + c]) / args.temperature - best);", "total += expf(to_float(args.logits[first + c]) - best);"),
]  # fmt: skip

_LOG_PROB += [("the target of row 0", "args.targets[block_x()]]", "args.targets[0]]")]

_SAMPLE = [
    ("the least token is left out", "rank_entry(value, first + i) < least) continue;", "rank_entry(value, first + i) <= least) continue;"),
    ("too many tokens take part", "digits += total >= wanted ? 1 : 0;", "digits += total > wanted ? 1 : 0;"),
    ("sums are overwritten before they have been read", "    block_barrier();  // the sums before have been read\n", ""),
    ("sums are read before they are there",
     "lane_index() / 2] = sum;\n    block_barrier();", "lane_index() / 2] = sum;"),
    ("lanes keep what they should give", "const float given = upper ? values[i] : values[kHalf + i];", "const float given = upper ? values[kHalf + i] : values[i];"),
    ("all places draw the same", "counter.word[2] = static_cast<std::uint32_t>(place);", "counter.word[2] = 0;"),
    ("banned tokens are drawn", "if (banned[i] >= 0) logits", "if (banned[i] > 1 << 20) logits"),
    ("the second warp's draw does not count", "for (int w = 0; w < thread_count() / kWarp; ++w) best = entries", "for (int w = 0; w < 1; ++w) best = entries"),
    ("scratch is overwritten while it is read", "    block_barrier();  // what lies in scratch has been read\n", ""),
]  # fmt: skip

_TOP_LIST = [
    ("-0 before 0", "float_bits(value + 0.0F);", "float_bits(value);"),
    ("tokens change places in pairs", "<< 32 | ~static_cast<std::uint32_t>(key);", "<< 32 | (~static_cast<std::uint32_t>(key) ^ 1U);"),
    ("an entry is put in without place for it", "if (place >= before) entries[p]", "if (place > before) entries[p]"),
    ("the last of 32 entries is lost", "        if (lane_index() == 0) moved = carried;\n", ""),
    ("the wrong entry is the one to beat", "(wanted - 1) % kWarp);", "wanted % kWarp);"),
]  # fmt: skip

_BEAM = [
    ("n-grams are read before they are there", "    block_barrier();\n    // With n = 1", "    // With n = 1"),
    ("the start token bans the end", "args.size == 1 ? 1 : 0", "0"),
    ("the last n-gram is not compared", "length - (args.size - 1);", "length - args.size;"),
    ("no barrier behind the normalisers", "normalisers(args, group, scratch);\n    warp_barrier();", "normalisers(args, group, scratch);"),
    ("no barrier before the decision", "    warp_barrier();  // every lane has put its candidates and has read the count\n", ""),
    ("what has ended is read before it is decided", "before, scratch);\n    warp_barrier();", "before, scratch);"),
    ("an impossible end is an end", "key % args.vocab == args.rules.eos && scratch.scores[i] != negative_infinity();", "key % args.vocab == args.rules.eos;"),
    ("one place too many may end", "const bool in_beam = i < args.beam;", "const bool in_beam = i <= args.beam;"),
    ("dead places live", "in_beam && args.dead[group.number * args.beam + i] != 0;", "false;"),
    ("more hypotheses end than there is room", "in_beam && finished < args.beam) {", "in_beam) {"),
    ("a step too long", "group.place.may_go_on;", "true;"),
    ("n-grams begin behind the prompt", "const int step = t - place.prompt();", "const int step = t;"),
    ("the prompt of the first sentence", "args.prompt_offsets[args.rules.sentence_of[group]]", "args.prompt_offsets[group]"),
    ("rows keep the positions of the sentence that left", "= rows.limits[place.sentence];", "= rows.limits[place.row / rows.beam];"),
    ("a sentence's first step counts all its rows", "place.steps == 0 ? 1 : state.group_rows, args.rules", "state.group_rows, args.rules"),
    ("slots are those of the rows", "const int slot = place.sentence * rows.beam + place.b;", "const int slot = place.row;"),
    ("new rows overwrite those that run", "const int row = state.rows + i;", "const int row = i;"),
    ("new places are dead", "rows.dead[state.groups * rows.beam + i] = 0;", "rows.dead[i] = 0;"),
    ("what has finished in a place counts for the next sentence", "args.finished_count[sentence] = 0;", ""),
    ("the state changes before it is read", "    block_barrier();  // every thread has read the state\n", ""),
    ("no penalty for unknown words", "if (token == args.rules.unk) log_prob -= args.rules.unk_penalty;", ""),
    ("NaN is the best", "if (log_prob != log_prob) log_prob = negative_infinity();", "if (log_prob != log_prob) log_prob = 0.0F;"),
    ("a hypothesis is copied along a stale ancestor", "ancestor(args.history, state, row, t + 1);", "ancestor(args.history, state, row, t);"),
    ("the ancestors of the other step", "history.ancestors[state.step % 2][row", "history.ancestors[(state.step + 1) % 2][row"),
    ("filled places live", "scratch.dead[continuing] = 1;", "scratch.dead[continuing] = 0;"),
    ("wrong lane mask: a sentence counts itself", "places + count_bits(votes & ((1U << lane_index()) - 1U))", "places + count_bits(votes & ((2U << lane_index()) - 1U))"),
    ("sentences of earlier turns are forgotten", "places += count_bits(votes);", "places = count_bits(votes);"),
    ("rows move before their places are known", "*live = places;\n    }\n    block_barrier();", "*live = places;\n    }"),
    ("tokens go into the step that was", "(place.step - limits.first_step) * rows.history.slots + slot;", "(place.step - limits.first_step - 1) * rows.history.slots + slot;"),
    ("finished sentences keep their rows", ": RowRange{0, 0};", ": RowRange{0, beam};"),
    ("rows continue themselves", "args.parents[row] * args.ancestor_stride;", "row * args.ancestor_stride;"),
    ("one ancestor too many is copied", "for (int t = thread_index(); t < steps; t += thread_count()) to[t]", "for (int t = thread_index(); t <= steps; t += thread_count()) to[t]"),
]  # fmt: skip

_TENSOR = [
    ("no barrier before the tiles of other rows", "      block_barrier();  // the tiles of the rows before are no longer read\n", ""),
    ("no barrier between a tile's copies and its use", "        block_barrier();  // the tile has arrived, and the one before is no longer read\n", ""),
    ("waits for one group of copies too few", "wait_copies<kTensorStages - 2>();", "wait_copies<kTensorStages - 1>();"),
    ("the next tile is staged over the one in use", "stage(args, before, left", "stage(args, now, left"),
    ("the next tile is one too far", "left - (kTensorStages - 1) * kTensorKeys);", "left - kTensorStages * kTensorKeys);"),
    ("the ring turns too early", "now = now + 1 == kTensorStages ? 0", "now = now + 2 == kTensorStages ? 0"),
    ("no guard for rows that do not exist", "row < rows.count && column < args.width", "column < args.width"),
    ("one step of far queries for all row tiles", "step * kRowTiles + m, lane_index());", "step * kRowTiles, lane_index());"),
    ("the second key of a warp is not counted", "warp_index() + k * kWarps < keys ?", "warp_index() < keys ?"),
    ("nothing is cleared behind the columns", "from + c, c < columns);", "from + c, c < columns || columns > 0);"),
    ("wrong rows of the keys' matrices", "(matrix / 2 * 8 + lane_index() % 8)", "(matrix % 4 / 3 * 8 + lane_index() % 8)"),
    ("no barrier between scores and their sum", "      block_barrier();\n      if (warp_index() < kPlaces) {", "      if (warp_index() < kPlaces) {"),
    ("the first warp's scores are left out", "for (int w = 0; w < kWarps; ++w) {", "for (int w = 1; w < kWarps; ++w) {"),
    ("no barrier between the sum and its use", "      block_barrier();\n    }\n\n    // Softmax", "    }\n\n    // Softmax"),
    ("the last tile's missing keys have weights", "        if (keys < kTensorKeys) hide(scores, keys);\n", ""),
    ("one key too many has a weight", "if (key >= keys) scores[i / 4][i % 4]", "if (key > keys) scores[i / 4][i % 4]"),
    ("maxima of half of the lanes", "lanes_max<4>(best)", "lanes_max<2>(best)"),
    ("the total is not corrected", "total[m][r] * correction[r] + sum;", "total[m][r] + sum;"),
    ("sums are corrected by other rows' factors", "sums[m][n][c] *= correction[c / 2];", "sums[m][n][c] *= correction[c % 2];"),
    ("values are not transposed", "load_matrices<true>(values,", "load_matrices<false>(values,"),
    ("one row too many is written", "if (row < rows.count) put_row(", "if (row <= rows.count) put_row("),
    ("every part is the first", "const std::int64_t place = range.part * args.partial_rows + row;", "const std::int64_t place = row;"),
    ("columns behind the row are written", "        if (c >= args.width) continue;\n", ""),
]  # fmt: skip

_WARPGROUP = [
    ("the tile is not waited for", "        wait_bulk(barrier_at(ring.stage), ring.parity);\n", ""),
    ("the wrong parity", "      stage = 0;\n      parity ^= 1;", "      stage = 0;"),
    ("queries of the rows before are waited for", "      query_parity ^= 1;\n", ""),
    ("queries are not waited for", "      wait_bulk(barrier_at(kStages), query_parity);\n", ""),
    ("the barriers are not fenced", "start_bulk_barrier(barrier_at(s), 1);\n        fence_async();", "start_bulk_barrier(barrier_at(s), 1);"),
    ("no barrier behind the start of the barriers", "      query_parity = 0;\n      block_barrier();\n", "      query_parity = 0;\n"),
    ("too few bytes are expected", "expect_bytes(barrier, kStageBytes);", "expect_bytes(barrier, kStageBytes - kBoxBytes);"),
    ("bytes of the tail are not all expected", "expect_bytes(barrier, kBoxes * parts * kTailRows * kBoxRowBytes);", "expect_bytes(barrier, kBoxes * kTailRows * kBoxRowBytes);"),
    ("a tile comes while its place is still read", "        block_barrier();  // neither tile nor weights are read any more\n", ""),
    ("a tile comes into the wrong stage", "loading = loading + 1 == kStages ? 0 : loading + 1;", "loading = loading == kStages ? 0 : loading + 1 - loading / 2 * 2;"),
    ("the next tile is one too far", "const int next = key + kStages * kKeys;", "const int next = key + (kStages + 1) * kKeys;"),
    ("both blocks of a cluster have the first columns", "return (kCluster > 1 ? cluster_rank() : 0) * kColumns;", "return 0;"),
    ("nothing is cleared behind the keys", "        if (left < kKeys) clear_tail(left);\n", ""),
    ("a row too few is cleared", "+ keys * kBoxRowBytes;", "+ (keys + 1) * kBoxRowBytes;"),
    ("no fence behind the clearing", "          store_128(to + 16 * v, Bits128{{0, 0, 0, 0}});\n      }\n      fence_async();", "          store_128(to + 16 * v, Bits128{{0, 0, 0, 0}});\n      }"),
    ("no barrier behind the clearing", "      fence_async();\n      block_barrier();\n    }\n\n    // Of the tile's keys", "      fence_async();\n    }\n\n    // Of the tile's keys"),
    ("no fence before the scores", "      begin_products();\n      ELBEAM_UNROLL\n      for (int b = 0;", "      ELBEAM_UNROLL\n      for (int b = 0;"),
    ("scores are not waited for", "      wait_products<0>();\n      changed_by_products(scores);", "      changed_by_products(scores);"),
    ("wrong offset of the next box", "bytes_on(keys, b * kBoxBytes + k * 32)", "bytes_on(keys, b * kBoxBytes / 2 + k * 32)"),
    ("wrong offset along k", "bytes_on(keys, b * kBoxBytes + k * 32)", "bytes_on(keys, b * kBoxBytes + k * 16)"),
    ("the first rows for both warpgroups", "kQueryPlace + group * kShare * kBoxRowBytes)", "kQueryPlace)"),
    ("the other block's scores are overwritten before it has read them", "      cluster_wait();  // it has read what was here\n", ""),
    ("the other block's scores are not waited for", "      cluster_arrive();\n      cluster_wait();\n      ELBEAM_UNROLL", "      cluster_arrive();\n      ELBEAM_UNROLL"),
    ("no arrival behind the reading of the other's scores", "scores[4 * v + i] += four[i];\n      }\n      cluster_arrive();", "scores[4 * v + i] += four[i];\n      }"),
    ("scores are not added to the other block's", "scores[4 * v + i] += four[i];", "scores[4 * v + i] = four[i];"),
    ("keys behind the last have weights", "if (key + i / 2 % 2 * 8 >= keys) scores[i]", "if (key + i / 2 % 2 * 8 > keys) scores[i]"),
    ("the maximum of half of a warp's keys", "rows_max(fmaxf(scores[4 * g + c], scores[4 * g + 2 + c]))", "rows_max(scores[4 * g + c])"),
    ("maxima are read before they are there", "      block_barrier();\n      ELBEAM_UNROLL\n      for (int g = 0; g < kGroups; ++g) weigh_group", "      ELBEAM_UNROLL\n      for (int g = 0; g < kGroups; ++g) weigh_group"),
    ("no fence between weights and products", "weigh_group(scores, g);\n      fence_async();", "weigh_group(scores, g);"),
    ("no barrier between weights and products", "weigh_group(scores, g);\n      fence_async();\n      block_barrier();", "weigh_group(scores, g);\n      fence_async();"),
    ("a warp's own maximum", "for (int w = 0; w < 4; ++w) best = fmaxf(best, maxima(w)[row]);", "best = fmaxf(best, maxima(warp_of_group())[row]);"),
    ("the total is not corrected", "        total[g][c] *= correction;\n", ""),
    ("sums are not corrected", "      correct();\n", ""),
    ("corrections of other rows", "factors[i / 4 * 2 + i % 2];", "factors[i / 4 * 2];"),
    ("weights lie in the wrong group of rows", "(group_index() * kGroups + g) * kWeightGroupBytes +", "(group_index() + g) * kWeightGroupBytes +"),
    ("the layout of the weights the wrong way round", "plain_layout(kWeightGroupBytes, kWeightBytes)", "plain_layout(kWeightBytes, kWeightGroupBytes)"),
    ("wrong offset of the weights", "bytes_on(weights, k * 2 * kWeightBytes)", "bytes_on(weights, k * kWeightBytes)"),
    ("wrong offset of the values", "m * kBoxBytes + k * 16 * kBoxRowBytes", "m * kBoxBytes + k * 8 * kBoxRowBytes"),
    ("values are not transposed", "multiply_tiles<T, kRows, true, true>(", "multiply_tiles<T, kRows, false, true>("),
    ("results are not committed", "bytes_on(weights, k * 2 * kWeightBytes));\n      }\n      commit_products();", "bytes_on(weights, k * 2 * kWeightBytes));\n      }"),
    ("results are not waited for", "      wait_products<0>();\n      ELBEAM_UNROLL\n      for (int m = 0; m < kTiles; ++m) changed", "      ELBEAM_UNROLL\n      for (int m = 0; m < kTiles; ++m) changed"),
    ("the columns of the first warpgroup for both", "stage_at(ring.stage) + group * kTiles * kBoxBytes)", "stage_at(ring.stage))"),
    ("totals are read before they are there", "      block_barrier();\n      if (range.parts > 1) put_stats", "      if (range.parts > 1) put_stats"),
    ("queries are overwritten while others read", "      block_barrier();  // totals and queries are no longer read\n", ""),
    ("rows that do not exist are written", "if (row < rows) put_row", "if (row <= rows) put_row"),
    ("a warp's total for the whole", "return maxima(0)[row] + maxima(1)[row] + maxima(2)[row] + maxima(3)[row];", "return 4.0F * maxima(0)[row];"),
    ("parts are merged by powers of two", "maximum[g][c] / kLog2E;", "maximum[g][c];"),
    ("every part is the first", "(range.part * args.partial_rows + row) * args.width + c] = sum", "row * args.width + c] = sum"),
    ("columns behind the row are written", "if (c >= args.width) continue;\n          const float sum", "const float sum"),
    ("a block leaves while the other reads", "    if constexpr (kCluster > 1) cluster_wait();  // the other block has read its scores\n", ""),
]  # fmt: skip


def _entries(file, edits, tests, part="float"):
    return [Mutant(file, what, old, new, tests, part) for what, old, new in edits]


MUTANTS = [
    *_entries("attention.hpp", _CROSS, CROSS),
    *_entries("attention.hpp", _CAUSAL, "CausalAttention*"),
    *_entries("attention.hpp", _PAGED, f"{PAGED}:Store*"),
    *_entries("row_attention.hpp", _ATTENTION, BOTH),
    *_entries("device.hpp", _DEVICE, ROWS),
    *_entries("rows.hpp", _ROWS, ROWS),
    *_entries("vocabulary.hpp", _VOCABULARY, VOCABULARY),
    *_entries("vocabulary.hpp", _LOG_PROB, "LogProb*"),
    *_entries("sample.hpp", _SAMPLE, "SampleKernel*"),
    *_entries("top_list.hpp", _TOP_LIST, VOCABULARY),
    *_entries("beam.hpp", _BEAM, SEARCH, "search"),
    *_entries("tensor_attention.hpp", _TENSOR, "TensorAttention*", "half"),
    *_entries("warpgroup_attention.hpp", _WARPGROUP, WARPGROUP, "half"),
]
