// Models whose weights lie in a pack cache: the same to the last bit, whatever happens to the file.
#include "model/pack_cache.hpp"

#include "archive/crc32.hpp"
#include "archive/pack_file.hpp"
#include "model/transformer.hpp"
#include "search/decode_loop.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace elbeam::model {
namespace {

namespace fs = std::filesystem;
using archive::Checkpoint;
using archive::DataCheck;

struct Way {
  DType dtype = DType::kFp32;
  Attention attention = Attention::kAuto;
};

void PrintTo(const Way& way, std::ostream* out) {
  *out << "dtype " << static_cast<int>(way.dtype) << ", attention "
       << static_cast<int>(way.attention);
}

// Tokens and scores of a small batch, and log-probabilities of given targets.
struct Outputs {
  std::vector<std::vector<std::int64_t>> tokens;
  std::vector<float> numbers;
  friend bool operator==(const Outputs&, const Outputs&) = default;
};

Outputs outputs(Transformer& model) {
  SourceBatch batch;
  batch.sentences = {{5, 6, 7, 8, 2}, {40, 41, 2}};
  batch.padded_length = 5;
  search::DecodeRequest request;
  request.batch = &batch;
  request.options.beam = 3;
  request.options.max_len_b = 8;
  Outputs out;
  for (const auto& sentence : search::decode(model, request).sentences) {
    for (const auto& hypothesis : sentence) {
      out.tokens.push_back(hypothesis.tokens);
      out.numbers.insert(out.numbers.end(), hypothesis.positional_scores.begin(),
                         hypothesis.positional_scores.end());
    }
  }
  const std::vector<std::vector<std::int64_t>> inputs{{2, 9, 10}, {2, 11, 12}};
  std::vector<std::vector<float>> scores(2, std::vector<float>(3));
  DecodeShape shape;
  shape.beam = 1;
  shape.max_steps = 3;
  ForcedInput forced;
  forced.tokens = {inputs[0], inputs[1]};
  forced.targets = {inputs[0], inputs[1]};
  std::vector<std::span<float>> places(scores.begin(), scores.end());
  ForcedOutput output;
  output.target_log_probs = places;
  EXPECT_TRUE(model.start(batch, shape)->force(forced, output));
  for (const auto& row : scores) out.numbers.insert(out.numbers.end(), row.begin(), row.end());
  return out;
}

class PackCache : public testing::TestWithParam<Way> {
 protected:
  PackCache()
      : folder_(fs::path(testing::TempDir()) / ("elbeam_pack_cache_" + std::to_string(getpid()))) {
    fs::create_directories(folder_ / "caches");
    fs::copy_file(fs::path(ELBEAM_TEST_DATA) / "squad_qg_bart" / "checkpoint.pt", model_path());
  }
  ~PackCache() override { fs::remove_all(folder_); }

  std::string model_path() const { return (folder_ / "model.pt").string(); }
  TransformerOptions options(const Way& way = {}) const {
    TransformerOptions options;
    options.dtype = way.dtype;
    options.attention = way.attention;
    options.threads = 1;
    options.pack_cache = (folder_ / "caches").string();
    return options;
  }
  std::unique_ptr<Transformer> load(const TransformerOptions& with) const {
    return load_transformer(
        Checkpoint::open(model_path(), with.pack_cache ? DataCheck::kLater : DataCheck::kNow),
        with);
  }
  Outputs plain(const Way& way = {}) const {
    TransformerOptions without = options(way);
    without.pack_cache.reset();
    return outputs(*load(without));
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(folder_ / "caches")) all.push_back(entry);
    return all;
  }
  // Loads with a damaged or foreign file: that is said, it is replaced, and nothing else changes.
  void expect_replaced(const std::string& complaint) {
    const auto first = load(options());
    ASSERT_EQ(first->pack_cache().warnings.size(), 1U);
    EXPECT_NE(first->pack_cache().warnings[0].find(complaint), std::string::npos)
        << first->pack_cache().warnings[0];
    EXPECT_TRUE(first->pack_cache().written);
    EXPECT_EQ(outputs(*first), plain());
    EXPECT_TRUE(load(options())->pack_cache().read);
  }

  fs::path folder_;
};

TEST_P(PackCache, ChangesNothing) {
  const Outputs expected = plain(GetParam());
  const auto first = load(options(GetParam()));
  EXPECT_TRUE(first->pack_cache().written && !first->pack_cache().read);
  EXPECT_EQ(outputs(*first), expected);
  const auto second = load(options(GetParam()));
  EXPECT_TRUE(second->pack_cache().read && !second->pack_cache().written);
  EXPECT_TRUE(second->pack_cache().warnings.empty());
  EXPECT_EQ(outputs(*second), expected);
  EXPECT_EQ(files().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, PackCache,
    testing::Values(Way{}, Way{DType::kFp32, Attention::kEl}, Way{DType::kFp32, Attention::kMha},
                    Way{DType::kFp64, Attention::kAuto}, Way{DType::kFp64, Attention::kEl},
                    Way{DType::kFp16, Attention::kAuto}, Way{DType::kBf16, Attention::kAuto},
                    Way{DType::kInt8, Attention::kAuto}, Way{DType::kInt8, Attention::kEl}));

TEST_F(PackCache, TheModelsNumbersAreNotReadAgain) {
  const Outputs expected = plain();
  load(options());
  // Damage that only the checksums of the tensors can notice.
  const auto checkpoint = Checkpoint::open(model_path());
  const auto& view = checkpoint->tensors().at("decoder.layers.0.fc1.weight");
  const auto when = fs::last_write_time(model_path());
  std::string bytes;
  {
    std::ifstream in(model_path(), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::string weight(reinterpret_cast<const char*>(view.data), 256);
  const std::size_t at = bytes.find(weight);
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  fs::remove(model_path());
  std::ofstream(model_path(), std::ios::binary) << bytes;
  fs::last_write_time(model_path(), when);
  const auto second = load(options());
  EXPECT_TRUE(second->pack_cache().read);
  EXPECT_EQ(outputs(*second), expected);
  // Without the file they are, and are found to be damaged.
  fs::remove(files().at(0));
  EXPECT_THROW(load(options()), Error);
  EXPECT_TRUE(files().empty());
}

TEST_F(PackCache, AnotherModelOfTheNameIsAnotherModel) {
  load(options());
  const auto before = fs::last_write_time(files().at(0));
  fs::last_write_time(model_path(), fs::file_time_type::clock::now() + std::chrono::hours(1));
  const auto changed = load(options());
  EXPECT_TRUE(changed->pack_cache().written);
  EXPECT_TRUE(changed->pack_cache().warnings.empty());
  ASSERT_EQ(files().size(), 1U);
  EXPECT_GE(fs::last_write_time(files()[0]), before);
  EXPECT_TRUE(load(options())->pack_cache().read);
}

TEST_F(PackCache, OptionsThatChangeWhatIsPackedHaveFilesOfTheirOwn) {
  const std::vector<TransformerOptions> all = [&] {
    std::vector<TransformerOptions> list(5, options());
    list[1].dtype = DType::kInt8;
    list[2].attention = Attention::kMha;
    list[3].half = true;
    list[4].model_overrides = "{'activation_fn': 'relu'}";
    return list;
  }();
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(load(all[i])->pack_cache().written) << i;
    EXPECT_EQ(files().size(), i + 1);
  }
  for (const TransformerOptions& one : all) EXPECT_TRUE(load(one)->pack_cache().read);
  // Beside the model, where the folder may move.
  TransformerOptions beside = options();
  beside.pack_cache = "";
  EXPECT_TRUE(load(beside)->pack_cache().written);
  EXPECT_EQ(files().size(), all.size());
  EXPECT_TRUE(load(beside)->pack_cache().read);
}

TEST_F(PackCache, ADamagedFileIsReplaced) {
  load(options());
  const fs::path file = files().at(0);
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(5000);
  stream.put('\x55').put('\xaa');
  stream.close();
  expect_replaced("does not match its checksums");
  fs::resize_file(file, fs::file_size(file) - 1);
  expect_replaced("expected");
  fs::resize_file(file, 10);
  expect_replaced("no pack cache");
  std::ofstream(file, std::ios::trunc) << std::string(1000, 'x');
  expect_replaced("not a pack cache");
  fs::permissions(file, fs::perms::group_write, fs::perm_options::add);
  expect_replaced("others than its owner");
}

// Right in all its checksums and its key, and yet not what this program writes.
TEST_F(PackCache, AForeignFileIsReplaced) {
  const auto place =
      pack_cache_place(*Checkpoint::open(model_path()), options(), (folder_ / "caches").string());
  {
    archive::PackFileWriter writer(place.path, place.key);
    writer.finish(0644);
  }
  expect_replaced("is missing");
  const std::vector<std::byte> few(64);
  for (const nlohmann::json& facts :
       {nlohmann::json{1, 1, "same"}, nlohmann::json{1, 1, "other"}, nlohmann::json::array(),
        nlohmann::json::object(), nlohmann::json("x")}) {
    archive::PackFileWriter writer(place.path, place.key);
    for (const char* name :
         {"array encoder.embed_tokens.weight", "matrix encoder.layers.0.self_attn.qkv"})
      writer.add(name, facts, few);
    writer.finish(0644);
    expect_replaced("entry");
  }
}

TEST_F(PackCache, AFolderThatIsNotThereCostsAWarning) {
  TransformerOptions with = options();
  with.pack_cache = (folder_ / "missing").string();
  const auto model = load(with);
  ASSERT_EQ(model->pack_cache().warnings.size(), 1U);
  EXPECT_NE(model->pack_cache().warnings[0].find("cannot be created"), std::string::npos);
  EXPECT_FALSE(model->pack_cache().read || model->pack_cache().written);
  EXPECT_EQ(outputs(*model), plain());
}

// Where this fails, the layout of packed weights has changed: raise kLayout in pack_cache.cpp, so
// that files of earlier versions are not read, and put the new sums here.
TEST_F(PackCache, TheLayoutIsTheOneThatHasItsNumber) {
  using kernels::PackedMatrix;
  using kernels::Storage;
  std::vector<float> weight;
  for (int i = 0; i < 37 * 21; ++i)
    weight.push_back(static_cast<float>(i * 37 % 101) / 64.0F - 0.7F);
  std::uint32_t sum = 0;
  for (const Storage storage :
       {Storage::kSame, Storage::kHalf, Storage::kBFloat16, Storage::kInt8}) {
    sum = archive::crc32(sum, PackedMatrix<float>(weight.data(), 21, 37, 21, storage).image());
  }
  const std::map<kernels::Isa, std::uint32_t> expected{{kernels::Isa::kGeneric, 1952082951U},
                                                       {kernels::Isa::kAvx2, 1287342103U},
                                                       {kernels::Isa::kAvx512, 4224428158U}};
  EXPECT_EQ(sum, expected.at(kernels::active_isa()));
  if (kernels::kernels<float>().multiply_pairs != nullptr) {
    const PackedMatrix<float> pairs(weight.data(), 21, 37, 21, Storage::kBFloat16Pairs);
    EXPECT_EQ(archive::crc32(0, pairs.image()), 2050149569U);
  }
}

}  // namespace
}  // namespace elbeam::model
