// Tensors that claim more than the file has, in both layouts of checkpoints, and what the legacy
// layout adds.
#include "archive/model_files.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace elbeam::test {
namespace {

using enum ErrorCode;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// The same tensor in both layouts.
testing::AssertionResult both_refuse(const py::Tensor& tensor, ErrorCode code,
                                     const std::string& part) {
  const testing::AssertionResult zip =
      refused(zip_of(checkpoint_pickle(py::tensor(tensor))), code, part);
  if (!zip) return zip;
  LegacyParts legacy;
  legacy.pickle = checkpoint_pickle(LegacyParts::rebuild(tensor));
  return refused(legacy.bytes(), code, part);
}

py::Tensor shaped(std::vector<std::int64_t> shape, std::vector<std::int64_t> strides,
                  std::int64_t offset = 0) {
  py::Tensor tensor;
  tensor.shape = std::move(shape);
  tensor.strides = std::move(strides);
  tensor.offset = offset;
  return tensor;
}

TEST(TensorAttack, RecordShorterThanItsStorage) {
  const std::string pickle = checkpoint_pickle(py::tensor({}));
  for (const std::size_t bytes : {0U, 4U, 20U, 23U, 25U, 28U}) {
    std::string storage = float_bytes(7);
    storage.resize(bytes);
    EXPECT_TRUE(refused(zip_of(pickle, storage), kIntegrity, "expected 24 bytes")) << bytes;
  }
}
TEST(TensorAttack, RecordIsMissing) {
  py::Tensor tensor;
  tensor.key = "17";
  EXPECT_TRUE(refused(zip_of(checkpoint_pickle(py::tensor(tensor))), kIntegrity, "is missing"));
  tensor.key = "../data/0";
  EXPECT_TRUE(refused(zip_of(checkpoint_pickle(py::tensor(tensor))), kIntegrity, "is missing"));
}
TEST(TensorAttack, BeyondItsStorage) {
  EXPECT_TRUE(both_refuse(shaped({7}, {1}), kIntegrity, "reaches element 7"));
  EXPECT_TRUE(both_refuse(shaped({2, 3}, {3, 1}, 1), kIntegrity, "reaches element 7"));
  EXPECT_TRUE(both_refuse(shaped({2, 3}, {4, 1}), kIntegrity, "reaches element 7"));
  EXPECT_TRUE(both_refuse(shaped({}, {}, 6), kIntegrity, "reaches element 7"));
  EXPECT_TRUE(both_refuse(shaped({1}, {1}, kMax - 1), kIntegrity, "reaches element"));
}
TEST(TensorAttack, NegativeNumbers) {
  EXPECT_TRUE(both_refuse(shaped({-2, 3}, {3, 1}), kFormat, "non-negative"));
  EXPECT_TRUE(both_refuse(shaped({2, 3}, {-3, 1}), kFormat, "non-negative"));
  EXPECT_TRUE(both_refuse(shaped({2, 3}, {3, 1}, -1), kFormat, "offset -1"));
}
TEST(TensorAttack, ProductOfTheShapeOverflows) {
  const std::int64_t half = std::int64_t{1} << 32;
  EXPECT_TRUE(both_refuse(shaped({half, half}, {0, 0}), kLimit, "tensor 'weight': size overflow"));
  EXPECT_TRUE(
      both_refuse(shaped({half, half, 0}, {0, 0, 0}), kLimit, "tensor 'weight': size overflow"));
  EXPECT_TRUE(both_refuse(shaped({kMax, 2}, {0, 0}), kLimit, "tensor 'weight': size overflow"));
}
TEST(TensorAttack, StridesOverflow) {
  EXPECT_TRUE(both_refuse(shaped({3, 2}, {kMax, 1}), kLimit, "tensor 'weight': size overflow"));
  EXPECT_TRUE(both_refuse(shaped({2, 2}, {kMax, kMax}), kLimit, "tensor 'weight': size overflow"));
  EXPECT_TRUE(both_refuse(shaped({1}, {1}, kMax), kLimit, "tensor 'weight': size overflow"));
}
TEST(TensorAttack, FewBytesForManyElements) {
  EXPECT_TRUE(both_refuse(shaped({std::int64_t{1} << 40}, {0}), kIntegrity, "elements"));
  EXPECT_TRUE(both_refuse(shaped({7}, {0}), kIntegrity, "has 7 elements"));
}
TEST(TensorAttack, StorageOfHugeSize) {
  py::Tensor tensor;
  tensor.storage_elements = kMax / 2;
  EXPECT_TRUE(both_refuse(tensor, kLimit, "storage '0' has"));
  tensor.storage_elements = -6;
  EXPECT_TRUE(both_refuse(tensor, kFormat, "negative size"));
}
TEST(TensorAttack, ShapeAndStridesOfDifferentLength) {
  EXPECT_TRUE(both_refuse(shaped({2, 3}, {1}), kFormat, "2 dimensions, 1 strides"));
  EXPECT_TRUE(both_refuse(shaped({1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}), kFormat,
                          "at most 8"));
}
// Names of a hostile file end up in terminals and logs.
TEST(TensorAttack, KeysAreEscapedInMessages) {
  py::Tensor tensor;
  tensor.key = "k\n\x1b[2J" + std::string(400, 'x');
  const std::string escaped = "'k\\x0a\\x1b[2J" + std::string(74, 'x') + "...'";
  EXPECT_TRUE(refused(zip_of(checkpoint_pickle(py::tensor(tensor))), kIntegrity, escaped));
  tensor.storage_elements = -1;
  EXPECT_TRUE(both_refuse(tensor, kFormat, escaped));
  tensor.storage_elements = kMax;
  EXPECT_TRUE(both_refuse(tensor, kLimit, escaped));
  tensor.storage_elements = 1;
  EXPECT_TRUE(
      refused(zip_of(checkpoint_pickle(py::tensor(tensor))), kIntegrity, "of storage " + escaped));
}
TEST(TensorAttack, UnknownElementTypes) {
  for (const char* name : {"ComplexFloatStorage", "QInt8Storage", "XStorage"}) {
    py::Tensor tensor;
    tensor.storage_class = name;
    EXPECT_TRUE(both_refuse(tensor, kUnsupported, "storage class")) << name;
  }
}
TEST(TensorAttack, MalformedReferences) {
  const auto rebuilt = [](const std::string& storage) {
    return zip_of(checkpoint_pickle(py::rebuild({}, storage)));
  };
  EXPECT_TRUE(refused(rebuilt(py::none()), kFormat, "not a storage"));
  EXPECT_TRUE(refused(rebuilt(py::text("0") + "Q"), kFormat, "persistent id"));
  EXPECT_TRUE(refused(rebuilt(py::tuple({py::text("storage")}) + "Q"), kFormat, "persistent id"));
  EXPECT_TRUE(refused(
      zip_of(checkpoint_pickle(py::call(py::global("torch._utils", "_rebuild_tensor_v2"), {}))),
      kFormat, "expected storage, offset"));
  EXPECT_TRUE(refused(
      zip_of(checkpoint_pickle(py::call(py::global("torch._utils", "_rebuild_parameter"), {}))),
      kFormat, "a parameter without data"));
}
TEST(TensorAttack, ModelIsMissingOrOdd) {
  EXPECT_TRUE(refused(zip_of(py::pickle(py::dict({{"args", py::none()}}))), kFormat, "'model'"));
  EXPECT_TRUE(refused(zip_of(py::pickle(py::list({}))), kFormat, "'model'"));
  const auto model = [](const std::string& pairs) {
    return zip_of(py::pickle(py::dict({{"model", "}(" + pairs + "u"}})));
  };
  EXPECT_TRUE(refused(model(py::integer(1) + py::tensor({})), kFormat, "has no name"));
  EXPECT_TRUE(refused(model(py::text("a") + py::integer(1)), kUnsupported, "not a plain tensor"));
  const std::string twice = py::text("a") + py::tensor({}) + py::text("a") + py::tensor({});
  EXPECT_TRUE(refused(model(twice), kFormat, "two tensors are called"));
  EXPECT_TRUE(refused(model(py::text(std::string(2000, 'x')) + py::tensor({})), kLimit, "name"));
}
TEST(TensorAttack, TooManyTensors) {
  std::string pairs = py::tensor({}) + py::put(5) + "0}";
  for (int i = 0; i < 66'000; ++i) pairs += py::text(std::to_string(i)) + py::get(5) + "s";
  EXPECT_TRUE(
      refused(zip_of(py::pickle("}" + py::text("model") + pairs + "s")), kLimit, "65536 tensors"));
}

TEST(LegacyAttack, TheUntouchedFileIsLegal) {
  const auto file = open_bytes(LegacyParts().bytes());
  EXPECT_EQ(elements<float>(file->tensors().at("weight")), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}
TEST(LegacyAttack, EveryTruncationIsRefused) {
  const std::string whole = LegacyParts().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_THROW(open_bytes(whole.substr(0, size)), Error) << size;
  }
}
TEST(LegacyAttack, WrongMagic) {
  LegacyParts parts;
  parts.magic[5] = 'x';
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "magic"));
  parts.magic = py::pickle(py::integer(7));
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "magic"));
}
TEST(LegacyAttack, WrongProtocol) {
  LegacyParts parts;
  parts.protocol = py::pickle("M\xea\x03");
  EXPECT_TRUE(refused(parts.bytes(), kUnsupported, "expected 1001"));
}
TEST(LegacyAttack, BigEndian) {
  LegacyParts parts;
  parts.system = py::pickle(py::dict({{"little_endian", py::truth(false)}}));
  EXPECT_TRUE(refused(parts.bytes(), kUnsupported, "little-endian"));
  parts.system = py::pickle(py::none());
  EXPECT_TRUE(refused(parts.bytes(), kUnsupported, "little-endian"));
}
TEST(LegacyAttack, CallInAnyPickle) {
  const std::string evil =
      py::pickle(py::call(py::global("posix", "system"), {py::text("touch x")}));
  for (int which = 0; which < 5; ++which) {
    LegacyParts parts;
    std::string* const pickles[] = {&parts.magic, &parts.protocol, &parts.system, &parts.pickle,
                                    &parts.keys};
    *pickles[which] = evil;
    EXPECT_TRUE(refused(parts.bytes(), kUnsupported, "posix.system")) << which;
  }
}
TEST(LegacyAttack, ModelIsMissing) {
  LegacyParts parts;
  parts.pickle = py::pickle(py::dict({{"args", LegacyParts::rebuild()}}));
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "'model'"));
}
TEST(LegacyAttack, StorageSizeLies) {
  for (const std::int64_t lie : {std::int64_t{0}, std::int64_t{5}, std::int64_t{7},
                                 std::int64_t{-1}, std::int64_t{1} << 61, kMax}) {
    LegacyParts parts;
    parts.storages = py::raw(lie) + float_bytes(6);
    EXPECT_TRUE(refused(parts.bytes(), kIntegrity, "expected 6 elements")) << lie;
  }
}
TEST(LegacyAttack, BothSizesLie) {
  py::Tensor tensor;
  for (const std::int64_t lie : {std::int64_t{1000}, std::int64_t{1} << 61, kMax}) {
    tensor.storage_elements = lie;
    LegacyParts parts;
    parts.pickle = checkpoint_pickle(LegacyParts::rebuild(tensor));
    parts.storages = py::raw(lie) + float_bytes(6);
    EXPECT_THROW(open_bytes(parts.bytes()), Error) << lie;
  }
}
TEST(LegacyAttack, MissingStorage) {
  LegacyParts parts;
  parts.keys = py::pickle(py::list({}));
  parts.storages.clear();
  EXPECT_TRUE(refused(parts.bytes(), kIntegrity, "is missing"));
}
TEST(LegacyAttack, StorageListedTwiceOrUnknown) {
  LegacyParts parts;
  parts.keys = py::pickle(py::list({py::text("0"), py::text("0")}));
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "listed twice"));
  parts.keys = py::pickle(py::list({py::text("1")}));
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "never used"));
  parts.keys = py::pickle(py::list({py::integer(0)}));
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "without a key"));
  parts.keys = py::pickle(py::none());
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "list of storages"));
}
TEST(LegacyAttack, StorageDescribedInTwoWays) {
  py::Tensor other;
  other.storage_class = "DoubleStorage";
  LegacyParts parts;
  parts.pickle =
      py::pickle(py::dict({{"model", model_state({{"a", LegacyParts::rebuild()},
                                                  {"b", LegacyParts::rebuild(other)}})}}));
  EXPECT_TRUE(refused(parts.bytes(), kFormat, "described in two ways"));
}
TEST(LegacyAttack, ViewsOfOtherStorages) {
  LegacyParts parts;
  parts.pickle = checkpoint_pickle(LegacyParts::rebuild({}, py::tuple({py::text("1")})));
  EXPECT_TRUE(refused(parts.bytes(), kUnsupported, "view of another"));
}
TEST(LegacyAttack, BytesAfterTheLastStorage) {
  EXPECT_TRUE(refused(LegacyParts().bytes() + "x", kFormat, "1 bytes after the last storage"));
}

}  // namespace
}  // namespace elbeam::test
