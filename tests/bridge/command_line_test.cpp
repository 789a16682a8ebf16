#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"
#include "fairseq_bridge/flag_policy.hpp"
#include "fairseq_bridge/generate_options.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace elbeam::fairseq {
namespace {

using Arguments = std::vector<std::string>;

std::string usage_error(const Arguments& arguments) {
  try {
    parse_command_line(arguments);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage) << error.what();
    return error.what();
  }
}

GenerateOptions parsed(Arguments arguments) {
  arguments.insert(arguments.begin(), {"data", "--path", "model.pt"});
  return parse_command_line(arguments).options;
}

// What a task asks for besides.
void add_task_options(const std::string& task, Arguments& arguments) {
  if (task == "translation_from_pretrained_bart") {
    arguments.insert(arguments.end(), {"--langs", "en,de"});
  } else if (task != "translation" && task != "language_modeling") {
    arguments.insert(arguments.end(), {"-s", "en", "-t", "de", "--lang-pairs", "en-de"});
  }
}

// A command line that makes the option exist: "bpe=gpt2,..." gives --bpe gpt2.
Arguments enabling(const FlagSpec& spec) {
  Arguments arguments{"data", "--path", "model.pt"};
  if (spec.condition.empty()) return arguments;
  const std::string first(spec.condition.substr(0, spec.condition.find(',')));
  arguments.push_back("--" + first.substr(0, first.find('=')));
  arguments.push_back(first.substr(first.find('=') + 1));
  if (first.rfind("task=", 0) == 0) add_task_options(first.substr(5), arguments);
  if (first == "bpe=gpt2") arguments.insert(arguments.end(), {"--gpt2-encoder-json", "e.json"});
  return arguments;
}

std::string some_value(const FlagSpec& spec) {
  // Those whose values are checked beyond their type.
  if (spec.name == "--distributed-rank" || spec.name == "--shard-id") return "0";
  if (spec.name == "--checkpoint-shard-count" || spec.name == "--diverse-beam-groups") return "1";
  if (spec.name == "--left-pad-source" || spec.name == "--left-pad-target") return "True";
  if (spec.name == "--lang-dict")
    return std::string(ELBEAM_TEST_DATA) + "/toy/bin-ende/dict.de.txt";
  if (spec.name == "--lang-pairs") return "en-de";
  if (spec.name == "--post-process") return "subword_nmt";
  if (!spec.choices.empty()) return std::string(spec.choices.substr(0, spec.choices.find('|')));
  return spec.kind == FlagKind::kString ? "x" : "3";
}

TEST(CommandLine, IsReadAsArgparseReadsIt) {
  for (const auto& golden : goldens("commands")) {
    const Arguments arguments = golden.at("argv");
    SCOPED_TRACE(golden.at("argv").dump());
    if (golden.contains("error")) {
      try {
        parse_flags(arguments);
        ADD_FAILURE() << "no error";
      } catch (const Error& error) {
        // All that elbeam adds to a list of fairseq's are two scores.
        std::string message = error.what();
        constexpr std::string_view kAdded = ", 'ter', 'rouge'";
        const std::size_t added = message.find(kAdded);
        if (added != std::string::npos) message.erase(added, kAdded.size());
        EXPECT_EQ(message, golden.at("error").get<std::string>());
      }
      continue;
    }
    const ParsedFlags flags = parse_flags(arguments);
    for (const auto& [name, value] : golden.at("values").items()) {
      if (name == "data") {
        EXPECT_EQ(flags.data(), value.get<std::string>());
        continue;
      }
      std::string flag = "--" + name;
      std::replace(flag.begin(), flag.end(), '_', '-');
      const FlagSpec& spec = flags.spec(flag);
      if (spec.kind == FlagKind::kFlag) {
        EXPECT_EQ(flags.flag(flag), value == "True");
      } else if (spec.kind == FlagKind::kString) {
        EXPECT_EQ(flags.text(flag), value.get<std::string>());
      } else {
        const auto expected = python_float(value.get<std::string>());
        EXPECT_EQ(python_float(flags.text(flag).value()), expected);
      }
    }
    for (const auto& [flag, value] : flags.values()) {  // nothing but what stock has set
      std::string name = flag.substr(2);
      std::replace(name.begin(), name.end(), '-', '_');
      static const std::set<std::string> kShown{
          "beam",        "nbest",       "lenpen",     "unkpen", "post_process", "quiet",
          "source_lang", "target_lang", "batch_size", "path",   "max_len_b"};
      if (kShown.count(name) != 0) {
        EXPECT_TRUE(golden.at("values").contains(name)) << name;
      }
    }
  }
}

TEST(CommandLine, EveryOptionHasExactlyOnePolicy) {
  std::map<std::string_view, int> policies;
  for (const FlagPolicy& policy : flag_policies()) ++policies[policy.name];
  for (const std::string_view name : flags_without_effect()) ++policies[name];
  std::set<std::string_view> names;
  for (const FlagSpec& spec : fairseq_flags()) names.insert(spec.name);
  EXPECT_GT(names.size(), 350U);
  for (const FlagSpec& spec : elbeam_flags()) EXPECT_TRUE(names.insert(spec.name).second);
  for (const std::string_view name : names) EXPECT_EQ(policies[name], 1) << name;
  EXPECT_EQ(policies.size(), names.size());
}

TEST(CommandLine, EveryFairseqOptionIsAcceptedOrRefusedByName) {
  int refused = 0;
  for (const FlagSpec& spec : fairseq_flags()) {
    SCOPED_TRACE(spec.name);
    Arguments arguments = enabling(spec);
    arguments.emplace_back(spec.name);
    if (spec.arity != Arity::kNone) arguments.push_back(some_value(spec));
    const std::string error = usage_error(arguments);
    if (flag_policy(spec.name).status == FlagStatus::kNotBuilt) {
      ++refused;
      EXPECT_NE(error.find("is not supported yet"), std::string::npos) << error;
      // An option of a choice that is not built itself may be refused through that choice.
      if (spec.condition.empty()) {
        EXPECT_EQ(error.rfind(spec.name, 0), 0U) << error;
      }
    } else if (spec.name == "--constraints" || spec.name == "--replace-unk" ||
               spec.name == "--sampling" || spec.name == "--sampling-topk" ||
               spec.name == "--sampling-topp") {
      EXPECT_NE(error.find(spec.name), std::string::npos) << error;
    } else if (!error.empty()) {
      // Not built as a value (--scoring bert_score), or as the choice that brings the option.
      EXPECT_NE(error.find("is not supported yet"), std::string::npos) << error;
      EXPECT_TRUE(!flag_policy(spec.name).built_values.empty() || !spec.condition.empty()) << error;
    }
  }
  EXPECT_GT(refused, 5);
}

TEST(CommandLine, DefaultsOfWhatIsNotBuiltAreAccepted) {
  for (const Arguments& arguments : std::vector<Arguments>{{"--sampling-topk", "-1"},
                                                           {"--sampling-topp", "-1"},
                                                           {"--diverse-beam-groups", "0"},
                                                           {"--diversity-rate", "-1.0"},
                                                           {"--model-overrides", "{}"},
                                                           {"--checkpoint-shard-count", "1"},
                                                           {"--no-repeat-ngram-size", "0"},
                                                           {"--required-seq-len-multiple", "1"}}) {
    EXPECT_NO_THROW(parsed(arguments)) << arguments[0];
  }
  EXPECT_THROW(parsed({"--task", "masked_lm"}), Error);
}

TEST(CommandLine, SearchOptionsReachTheirFields) {
  const SearchOptions search =
      parsed({"--beam", "4", "--nbest", "2", "--max-len-a", "1.5", "--max-len-b", "7", "--min-len",
              "3", "--lenpen", "0.5", "--unkpen", "2", "--unnormalized", "--temperature", "0.7"})
          .search;
  EXPECT_EQ(search.beam, 4);
  EXPECT_EQ(search.nbest, 2);
  EXPECT_EQ(search.max_len_a, 1.5);
  EXPECT_EQ(search.max_len_b, 7);
  EXPECT_EQ(search.min_len, 3);
  EXPECT_EQ(search.lenpen, 0.5);
  EXPECT_EQ(search.unk_penalty, 2);
  EXPECT_FALSE(search.normalize_scores);
  EXPECT_EQ(search.temperature, 0.7);
}

TEST(CommandLine, DataAndOutputOptionsReachTheirFields) {
  const GenerateOptions options = parsed({"--gen-subset",
                                          "valid",
                                          "-s",
                                          "de",
                                          "-t",
                                          "en",
                                          "--max-tokens",
                                          "99",
                                          "--seed",
                                          "6",
                                          "--prefix-size",
                                          "2",
                                          "--truncate-source",
                                          "--stats",
                                          "s.json",
                                          "--quiet",
                                          "--json",
                                          "--distributed-world-size",
                                          "3",
                                          "--distributed-rank",
                                          "2",
                                          "--remove-bpe",
                                          "--no-repeat-ngram-size",
                                          "3",
                                          "--compat",
                                          "fairseq-main"});
  EXPECT_EQ(options.task.data.subset, "valid");
  EXPECT_EQ(options.task.data.source_lang, "de");
  EXPECT_EQ(options.task.data.target_lang, "en");
  EXPECT_TRUE(options.task.data.truncate_source);
  EXPECT_EQ(options.batch.max_tokens, 99);
  EXPECT_EQ(options.batch.max_sentences, -1);
  EXPECT_EQ(options.batch.multiple, 8);
  EXPECT_EQ(options.shuffle_seed, 7U);
  EXPECT_EQ(options.request.prefix_size, 2);
  EXPECT_EQ(options.stats_path, "s.json");
  EXPECT_EQ(options.quirks.compat(), Compat::kFairseqMain);
  EXPECT_TRUE(options.output.quiet && options.output.json);
  EXPECT_EQ(options.output.post_process, "subword_nmt");
  EXPECT_EQ(options.shards, 3);
  EXPECT_EQ(options.shard, 2);
  EXPECT_EQ(options.search.no_repeat_ngram_size, 0);  // as fairseq has it
}

TEST(CommandLine, ModelOptionsReachTheirFields) {
  const LoadOptions load = parsed({"--checkpoint-suffix=-x", "--engine", "torchscript",
                                   "--attention", "el", "--dtype", "fp64", "--threads", "3"})
                               .load;
  EXPECT_EQ(load.model_path, "model-x.pt");
  EXPECT_EQ(load.engine, Engine::kTorchScript);
  EXPECT_EQ(load.attention, Attention::kEl);
  EXPECT_EQ(load.dtype, DType::kFp64);
  for (const auto& [name, dtype] : {std::pair{"fp32", DType::kFp32},
                                    {"fp16", DType::kFp16},
                                    {"bf16", DType::kBf16},
                                    {"int8", DType::kInt8}}) {
    EXPECT_EQ(parsed({"--dtype", name}).load.dtype, dtype) << name;
  }
  EXPECT_EQ(load.threads, 3);
}

TEST(CommandLine, DefaultsAreFairseqs) {
  const GenerateOptions options = parsed({});
  EXPECT_EQ(options.search.beam, 5);
  EXPECT_EQ(options.search.max_len_b, 200);
  EXPECT_EQ(options.batch.max_tokens, 12000);
  EXPECT_EQ(options.shuffle_seed, 2U);
  EXPECT_EQ(options.task.data.max_source_positions, 1024);
  EXPECT_EQ(options.quirks.compat(), Compat::kFixed);
  EXPECT_FALSE(options.output.post_process.has_value());
  EXPECT_EQ(parsed({"--batch-size", "4"}).batch.max_tokens, -1);
}

TEST(CommandLine, MistakesAreNamed) {
  EXPECT_EQ(usage_error({"data"}), "--path required for generation!");
  const auto error_of = [](Arguments arguments) {
    arguments.insert(arguments.begin(), {"data", "--path", "m.pt"});
    return usage_error(arguments);
  };
  for (const Arguments& arguments : std::vector<Arguments>{{"--beam", "0"},
                                                           {"--temperature", "0"},
                                                           {"--required-batch-size-multiple", "0"},
                                                           {"--seed", "-2"},
                                                           {"--seed", "4294967296"},
                                                           {"--threads", "-1"},
                                                           {"--distributed-rank", "1"},
                                                           {"--post-process", "foo"},
                                                           {"--dtype", "fp8"},
                                                           {"--resume"},
                                                           {"--checkpoint-shard-count", "2"},
                                                           {"--checkpoint-shard-count", "0"},
                                                           {"--lm-weight", "nan", "--lm-path", "x"},
                                                           {"--path", "a.pt::b.pt"},
                                                           {"--path", ":a.pt"},
                                                           {"--path", ""},
                                                           {"--num-shards", "0"},
                                                           {"--shard-id", "1"},
                                                           {"--required-seq-len-multiple", "0"},
                                                           {"--beam-patience", "0"},
                                                           {"--beam-patience", "nan"},
                                                           {"--diversity-rate", "inf"},
                                                           {"--max-quality-loss", "-1"},
                                                           {"--quality-sample", "-1"},
                                                           {"--shortlist-first", "3"},
                                                           {"--shortlist-best", "3"},
                                                           {"--sampling-draws", "counter"},
                                                           {"--lang-pairs", "en-de"},
                                                           {"--device", "tpu"}}) {
    EXPECT_NE(error_of(arguments).find(arguments[0] == "--post-process"    ? "foo"
                                       : arguments[0] == "--beam-patience" ? "patience"
                                       : arguments[0] == "--path"          ? "path"
                                                                           : arguments[0]),
              std::string::npos)
        << arguments[0] << ": " << error_of(arguments);
  }
  EXPECT_NE(error_of({"--bpe", "gpt2"}).find("--gpt2-encoder-json"), std::string::npos);
  try {
    parsed({"--device", "cuda:1"});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDevice);
  }
}

TEST(CommandLine, HelpAndVersionNeedNothingElse) {
  EXPECT_EQ(parse_command_line({"--help"}).action, Action::kHelp);
  EXPECT_EQ(parse_command_line({"-h"}).action, Action::kHelp);
  EXPECT_EQ(parse_command_line({"--version"}).action, Action::kVersion);
  const std::string help = help_text();
  for (const FlagSpec& spec : fairseq_flags()) {
    EXPECT_NE(help.find(spec.name), std::string::npos) << spec.name;
  }
  for (const FlagSpec& spec : elbeam_flags()) {
    EXPECT_NE(help.find(spec.name), std::string::npos) << spec.name;
  }
}

TEST(Compat, QuirksFollowTheTable) {
  EXPECT_TRUE(has_quirk(Compat::kFairseqMain, Quirk::kDropRaggedLastBatch));
  EXPECT_FALSE(has_quirk(Compat::kFairseq0122, Quirk::kDropRaggedLastBatch));
  EXPECT_TRUE(has_quirk(Compat::kFairseq0122, Quirk::kNgramBlockingIgnored));
  EXPECT_FALSE(has_quirk(Compat::kFixed, Quirk::kNgramBlockingIgnored));
  std::set<std::string_view> names;
  for (const QuirkRow& row : quirks()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

ErrorCode code_of(const Arguments& arguments) {
  try {
    parsed(arguments);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::kInternal;
}

TEST(CommandLine, StrategiesReachTheirFields) {
  EXPECT_EQ(parsed({}).search.strategy, Strategy::kBeam);
  const SearchOptions groups =
      parsed({"--beam", "4", "--diverse-beam-groups", "2", "--diverse-beam-strength", "0.25"})
          .search;
  EXPECT_EQ(groups.strategy, Strategy::kDiverseBeam);
  EXPECT_EQ(groups.diverse_groups, 2);
  EXPECT_EQ(groups.diverse_strength, 0.25);
  EXPECT_TRUE(groups.diverse_cumulative);
  EXPECT_FALSE(parsed({"--beam", "4", "--diverse-beam-groups", "2", "--compat", "fairseq-0.12.2"})
                   .search.diverse_cumulative);
  EXPECT_EQ(parsed({"--match-source-len"}).search.strategy, Strategy::kLengthConstrained);
  EXPECT_FALSE(
      parsed({"--match-source-len", "--compat", "fairseq-0.12.2"}).search.source_length_counts_eos);
  // Any rate above -1 chooses diverse siblings, 0 and -0.5 included.
  EXPECT_EQ(parsed({"--diversity-rate", "0"}).search.strategy, Strategy::kDiverseSiblings);
  EXPECT_EQ(parsed({"--diversity-rate", "-0.5"}).search.diversity_rate, -0.5);
  EXPECT_EQ(parsed({"--no-repeat-ngram-size", "3"}).search.no_repeat_ngram_size, 3);
  const SearchOptions drawn =
      parsed({"--sampling", "--sampling-draws", "counter", "--nbest", "5", "--seed", "9"}).search;
  EXPECT_TRUE(drawn.counter_draws);
  EXPECT_EQ(drawn.draw_seed, 9U);
  EXPECT_FALSE(parsed({"--sampling", "--nbest", "5"}).search.counter_draws);
  const SearchOptions own = parsed({"--beam-patience", "2", "--coverage-penalty", "0.1",
                                    "--repetition-penalty", "1.2", "--early-stopping", "exact"})
                                .search;
  EXPECT_EQ(own.patience, 2);
  EXPECT_EQ(own.coverage_penalty, 0.1);
  EXPECT_EQ(own.repetition_penalty, 1.2);
  EXPECT_TRUE(own.early_stopping && !own.heuristic_stopping);
}

TEST(CommandLine, WhatFairseqExcludesIsExcluded) {
  for (const Arguments& arguments : std::vector<Arguments>{
           {"--match-source-len", "--diversity-rate", "0.5"},
           {"--beam", "4", "--diverse-beam-groups", "2", "--diversity-rate", "1"},
           {"--beam", "4", "--diverse-beam-groups", "2", "--match-source-len"}}) {
    Arguments all{"data", "--path", "m.pt"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    EXPECT_NE(usage_error(all).find("mutually exclusive"), std::string::npos) << usage_error(all);
  }
  // The rate counts only above 0.
  EXPECT_NO_THROW(parsed({"--match-source-len", "--diversity-rate", "0"}));
  EXPECT_NE(usage_error({"data", "--path", "m.pt", "--beam", "4", "--diverse-beam-groups", "3"})
                .find("divisible"),
            std::string::npos);
  EXPECT_NE(usage_error({"data", "--path", "m.pt", "--replace-unk", ""}).find("raw"),
            std::string::npos);
}

TEST(CommandLine, WhereFairseqFailsOnlyItsCompatibilityDoes) {
  for (const Arguments& arguments : std::vector<Arguments>{
           {"--print-step"}, {"--task", "translation_from_pretrained_bart", "--langs", "en"}}) {
    Arguments strict = arguments;
    strict.insert(strict.end(), {"--compat", "fairseq-main"});
    EXPECT_EQ(code_of(strict), ErrorCode::kFairseqFails) << arguments[0];
    EXPECT_NO_THROW(parsed(arguments)) << arguments[0];
  }
  EXPECT_EQ(code_of({"--constraints", "--compat", "fairseq-0.12.2"}), ErrorCode::kFairseqFails);
  EXPECT_EQ(code_of({"--constraints"}), ErrorCode::kUsage);
  EXPECT_EQ(code_of({"--task", "language_modeling", "--print-alignment"}), ErrorCode::kUnsupported);
}

TEST(CommandLine, SeveralModelsAndALanguageModel) {
  const LoadOptions load = parsed({"--path", "a.pt:dir/b.pt:c.pt", "--checkpoint-suffix", "-1",
                                   "--lm-path", "lm.pt", "--lm-weight", "0.5"})
                               .load;
  EXPECT_EQ(load.model_path, "a-1.pt");
  EXPECT_EQ(load.ensemble_paths, (std::vector<std::string>{"dir/b-1.pt", "c-1.pt"}));
  EXPECT_EQ(load.lm_path, "lm.pt");
  EXPECT_EQ(load.lm_weight, 0.5);
  EXPECT_EQ(load.lm_dictionary_path, "data/dict.txt");
  EXPECT_EQ(parsed({"--path", "s3://a.pt|s3://b.pt"}).load.ensemble_paths.front(), "s3://b.pt");
}

TEST(CommandLine, ShardsOfTheDataSetAreIgnoredByFairseqOnly) {
  const GenerateOptions fixed = parsed({"--num-shards", "3", "--shard-id", "2"});
  EXPECT_EQ(fixed.shards, 3);
  EXPECT_EQ(fixed.shard, 2);
  EXPECT_EQ(parsed({"--num-shards", "3", "--shard-id", "2", "--compat", "fairseq-main"}).shards, 1);
  EXPECT_THROW(parsed({"--num-shards", "3", "--distributed-world-size", "2"}), Error);
}

TEST(CommandLine, EachQuirkIsSaidOnceAndOnlyWhenFixed) {
  testing::internal::CaptureStderr();
  QuirkLog fixed(Compat::kFixed);
  for (const QuirkRow& row : quirks()) {
    EXPECT_EQ(fixed.meets(row.quirk), row.fixed);
    EXPECT_EQ(fixed.meets(row.quirk), row.fixed);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  for (const QuirkRow& row : quirks()) {
    const std::string said = "WARNING | elbeam.compat | " + std::string(row.name) + ": ";
    const std::size_t first = log.find(said);
    ASSERT_NE(first, std::string::npos) << said << " in " << log;
    EXPECT_EQ(log.find(said, first + 1), std::string::npos) << row.name;
    EXPECT_NE(log.find("--compat fixed: " + std::string(row.fixed_does)), std::string::npos);
  }
  testing::internal::CaptureStderr();
  QuirkLog strict(Compat::kFairseqMain);
  for (const QuirkRow& row : quirks()) EXPECT_EQ(strict.meets(row.quirk), row.fairseq_main);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace elbeam::fairseq
