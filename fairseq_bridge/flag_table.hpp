// The facts about every option: what stock fairseq-generate's parser accepts (generated from that
// parser, flag_table.inc) and elbeam's own options. What an option means is in flag_policy.hpp.
#pragma once

#include <span>
#include <string_view>

namespace elbeam::fairseq {

enum class FlagKind { kFlag, kInt, kFloat, kString };
enum class Arity { kNone, kOne, kOptional };  // argparse's nargs 0, None and "?"

// One row of argparse's table. Strings are empty where there is nothing.
struct FlagSpec {
  std::string_view name;   // "--beam"
  std::string_view alias;  // "--max-sentences", "-s"
  FlagKind kind;
  Arity arity;
  std::string_view constant;       // value of a bare option with Arity::kOptional
  std::string_view default_value;  // as fairseq writes it; "" for None
  std::string_view choices;        // "raw|mmap"
  // Alternatives "bpe=gpt2,bpe=bert" that make the option exist at all; "" means always. The same
  // name may have several rows whose conditions exclude each other.
  std::string_view condition;
};

std::span<const FlagSpec> fairseq_flags() noexcept;
std::span<const FlagSpec> elbeam_flags() noexcept;

}  // namespace elbeam::fairseq
