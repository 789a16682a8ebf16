// Language tokens and prefixes of each task, against what fairseq's task of that name does.
#include "fairseq_bridge/task.hpp"

#include <elbeam/error.hpp>

#include "bridge/bridge_support.hpp"

namespace elbeam::fairseq {
namespace {

using Ints = std::vector<std::int64_t>;

class TaskTest : public testing::Test {
 protected:
  TaskTest() : folder_(scratch_folder()) {
    // Ids 4 to 6 are words; what a task adds begins at 7.
    for (const char* language : {"en", "de"}) {
      write_file(folder_ + "/dict." + language + ".txt", "a 3\nb 2\nc 1\n");
    }
    write_file(folder_ + "/dict.txt", "a 3\nb 2\nc 1\n");
    write_mmap(folder_ + "/test.en-de.en", {{4, 5, 2}, {6, 2}});
    write_mmap(folder_ + "/test.en-de.de", {{5, 2}, {6, 6, 6, 2}});
    write_mmap(folder_ + "/test", {{4, 5, 2}, {6, 2}});
    options_.data.data = folder_;
  }

  void load() {
    task_ = make_task(options_);
    dataset_ = task_->load_split();
  }

  GenerateRequest request(const RequestOptions& options = {}) const {
    return task_->request(collate(*dataset_, {0, 1}, {}), options);
  }

  std::string folder_;
  TaskOptions options_;
  std::unique_ptr<Task> task_;
  std::unique_ptr<GenerationDataset> dataset_;
};

TEST_F(TaskTest, TranslationAddsNothing) {
  load();
  const GenerateRequest plain = request();
  EXPECT_EQ(plain.batch.sentences, (Sentences{{4, 5, 2}, {6, 2}}));
  EXPECT_EQ(plain.batch.padded_length, 3);
  EXPECT_TRUE(plain.prefix_tokens.empty());
  EXPECT_FALSE(plain.start_token || plain.end_token);
  EXPECT_EQ(task_->inference_sample(7, {4, 2}).source, (Ints{4, 2}));
}

TEST_F(TaskTest, PrefixesAndPaddingAreFairseqs) {
  load();
  RequestOptions options;
  options.prefix_size = 3;
  options.pad_to_multiple = 8;
  EXPECT_EQ(request(options).prefix_tokens, (Sentences{{5, 2, 1}, {6, 6, 6}}));
  EXPECT_EQ(request(options).batch.padded_length, 8);
  options.left_pad_target = true;
  EXPECT_EQ(request(options).prefix_tokens, (Sentences{{1, 1, 5}, {6, 6, 6}}));
}

TEST_F(TaskTest, BartHubPutsBosInFront) {
  options_.bart_hub = true;
  load();
  EXPECT_EQ(request().batch.sentences, (Sentences{{0, 4, 5, 2}, {0, 6, 2}}));
  EXPECT_EQ(request().prefix_tokens, (Sentences{{0}, {0}}));
  EXPECT_FALSE(request().start_token.has_value());
  EXPECT_EQ(task_->inference_sample(0, {4, 2}).source, (Ints{0, 4, 2}));
}

TEST_F(TaskTest, PretrainedBartEndsWithLanguageTokens) {
  options_.name = "translation_from_pretrained_bart";
  options_.languages.langs = {"de", "en"};
  load();
  EXPECT_EQ(task_->source_dictionary().size(), 10);  // [de] 7, [en] 8, <mask> 9
  EXPECT_EQ(request().batch.sentences, (Sentences{{4, 5, 2, 8}, {6, 2, 8}}));
  EXPECT_EQ(dataset_->target(0), (Ints{5, 2, 7}));
  EXPECT_EQ(dataset_->source_size(0), 4);
  EXPECT_EQ(dataset_->target_size(1), 5);
  EXPECT_EQ(request().end_token, 7);
  EXPECT_EQ(task_->hidden_tokens(), (Ints{7}));
  EXPECT_EQ(task_->inference_sample(0, {4, 2}).source, (Ints{4, 2, 8}));
  LoadOptions load_options;
  task_->complete(load_options);
  EXPECT_EQ(load_options.extra_symbols, (std::vector<std::string>{"[de]", "[en]", "<mask>"}));
  options_.languages.prepend_bos = true;
  load();
  EXPECT_EQ(dataset_->source(1), (Ints{0, 6, 2, 8}));
  EXPECT_EQ(dataset_->target(0), (Ints{0, 5, 2, 7}));
  options_.languages.langs = {"en"};
  EXPECT_THROW(load(), Error);  // no token for de
  options_.languages.langs.clear();
  EXPECT_THROW(load(), Error);
}

TEST_F(TaskTest, MultilingualReplacesEosAndStarts) {
  options_.name = "multilingual_translation";
  options_.data.source_lang = "en";
  options_.data.target_lang = "de";
  options_.languages.lang_pairs = {"en-de", "fr-de"};
  load();
  EXPECT_EQ(task_->source_dictionary().size(), 7);
  EXPECT_FALSE(request().start_token.has_value());
  options_.languages.encoder_langtok = "tgt";
  options_.languages.decoder_langtok = true;
  load();
  EXPECT_EQ(task_->source_dictionary().size(), 10);  // de, en, fr: sorted
  EXPECT_EQ(request().batch.sentences, (Sentences{{4, 5, 7}, {6, 7}}));
  EXPECT_EQ(request().start_token, 7);
  EXPECT_EQ(dataset_->target(0), (Ints{5, 2}));
  EXPECT_EQ(task_->inference_sample(0, {4, 2}).source, (Ints{4, 7}));
  LoadOptions load_options;
  task_->complete(load_options);
  EXPECT_EQ(load_options.language_pair, "en-de");
  options_.languages.encoder_langtok = "src";
  load();
  EXPECT_EQ(request().batch.sentences[0], (Ints{4, 5, 8}));
  for (const char* bad : {"en", "en-de-fr", ""}) {
    options_.languages.lang_pairs = {bad};
    EXPECT_THROW(load(), Error) << bad;
  }
  options_.languages.lang_pairs = {"en-fr"};
  EXPECT_THROW(load(), Error);
}

TEST_F(TaskTest, MultiSimpleEpochPutsTokensInFront) {
  options_.name = "translation_multi_simple_epoch";
  options_.data.source_lang = "en";
  options_.data.target_lang = "de";
  options_.languages.lang_pairs = {"en-de"};
  options_.languages.langs = {"en", "de"};
  options_.languages.encoder_langtok = "src";
  options_.languages.decoder_langtok = true;
  load();
  EXPECT_EQ(request().batch.sentences, (Sentences{{7, 4, 5, 2}, {7, 6, 2}}));
  EXPECT_EQ(request().prefix_tokens, (Sentences{{8}, {8}}));
  EXPECT_EQ(dataset_->target(0), (Ints{8, 5, 2}));
  EXPECT_EQ(task_->hidden_tokens(), (Ints{8}));
  RequestOptions prefix;
  prefix.prefix_size = 2;
  EXPECT_EQ(request(prefix).prefix_tokens, (Sentences{{8, 5}, {8, 6}}));
  options_.languages.replace_bos_eos = true;
  options_.languages.mbart_style = true;
  options_.languages.keep_inference_langtok = true;
  load();
  EXPECT_EQ(task_->target_dictionary().size(), 10);  // <mask>, too
  EXPECT_EQ(request().batch.sentences, (Sentences{{4, 5, 7}, {6, 7}}));
  EXPECT_TRUE(request().prefix_tokens.empty());
  EXPECT_EQ(request().start_token, 8);
  EXPECT_TRUE(task_->hidden_tokens().empty());
  options_.languages.langs = {"en"};
  EXPECT_THROW(load(), Error);
}

TEST_F(TaskTest, LanguageModelForcesTheLine) {
  options_.name = "language_modeling";
  options_.blocks.break_mode = BreakMode::kEos;
  load();
  EXPECT_EQ(request().prefix_tokens, (Sentences{{4, 5}, {6, 1}}));
  EXPECT_EQ(request().start_token, 2);
  RequestOptions prefix;
  prefix.prefix_size = 1;
  EXPECT_EQ(request(prefix).prefix_tokens, (Sentences{{4}, {6}}));
  const Sentence line = task_->inference_sample(0, {4, 5, 2});
  EXPECT_EQ(line.source, (Ints{2, 4, 5}));
  EXPECT_EQ(line.target, (Ints{4, 5, 1}));
  options_.blocks.add_bos_token = true;
  load();
  EXPECT_EQ(request().start_token, 0);
  EXPECT_EQ(request().prefix_tokens, (Sentences{{2, 4, 5}, {2, 6, 1}}));
  EXPECT_EQ(task_->inference_sample(0, {4, 5, 2}).source, (Ints{0, 4, 5}));
}

TEST_F(TaskTest, UnknownTasksAreRefused) {
  options_.name = "masked_lm";
  EXPECT_THROW(load(), Error);
}

}  // namespace
}  // namespace elbeam::fairseq
