// Pickles that Python would execute, and pickles that no writer makes. Whatever they say, nothing
// runs and memory stays in proportion.
#include "archive/model_files.hpp"
#include "archive/pickle_globals.hpp"
#include "base/limits.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

namespace elbeam::test {
namespace {

using enum ErrorCode;

// Opens a checkpoint with this value (pickled) beside a legal model.
std::string with_extra(const std::string& value) {
  return zip_of(py::pickle(py::dict({{"args", arguments()},
                                     {"model", model_state({{"weight", py::tensor({})}})},
                                     {"extra", value}})));
}
std::string with_args(const std::string& args) {
  return zip_of(checkpoint_pickle(py::tensor({}), args));
}
nlohmann::json config_of(const std::string& args) {
  return open_bytes(with_args(args))->config().at("model");
}

TEST(PickleAttack, CallsThatPythonWouldExecute) {
  const std::string marker = testing::TempDir() + "elbeam_executed";
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"nt", "system"},
                                                        {"subprocess", "Popen"},
                                                        {"builtins", "eval"},
                                                        {"builtins", "exec"},
                                                        {"__builtin__", "eval"},
                                                        {"builtins", "getattr"},
                                                        {"builtins", "__import__"},
                                                        {"builtins", "open"},
                                                        {"builtins", "compile"},
                                                        {"runpy", "_run_code"},
                                                        {"torch.hub", "load"},
                                                        {"torch", "load"},
                                                        {"sys", "modules"},
                                                        {"importlib", "reload"},
                                                        {"torchos", "system"},
                                                        {"pickle", "loads"},
                                                        {"operator", "attrgetter"},
                                                        {"_codecs", "decode"},
                                                        {"typing", "get_type_hints"},
                                                        {"copyreg", "add_extension"},
                                                        {"", "system"},
                                                        {"os", "path.join"}}) {
    const std::string call = py::call(py::global(module, name), {py::text("touch " + marker)});
    EXPECT_TRUE(refused(with_extra(call), kUnsupported, module + "." + name)) << module;
    const std::string stack_global =
        py::call(py::text(module) + py::text(name) + "\x93", {py::text("touch " + marker)});
    EXPECT_TRUE(refused(with_extra(stack_global), kUnsupported, module + "." + name)) << module;
  }
  EXPECT_FALSE(std::filesystem::exists(marker));
}
TEST(PickleAttack, TheMessageNamesThePlace) {
  const std::string bytes = with_extra(py::global("os", "system"));
  const std::size_t place = bytes.find("cos\nsystem\n");
  EXPECT_TRUE(refused(bytes, kUnsupported, "pickle at byte " + std::to_string(place)));
}
TEST(PickleAttack, ThePlaceIsOneOfTheFile) {
  const std::string long_text = "\x8d" + py::raw(~std::uint64_t{0});
  std::string bytes = with_extra(long_text);
  EXPECT_TRUE(refused(bytes, kLimit, "at byte " + std::to_string(bytes.find(long_text) + 1) + ":"));
  bytes = with_extra("U\xff");
  EXPECT_TRUE(
      refused(bytes, kFormat, "at byte " + std::to_string(bytes.find("U\xff") + 2) + ": a string"));
  LegacyParts legacy;
  legacy.keys = "\x80\x02X";
  legacy.storages.clear();
  EXPECT_TRUE(
      refused(legacy.bytes(), kFormat, "at byte " + std::to_string(legacy.bytes().size()) + ":"));
}
TEST(PickleAttack, ObsoleteWaysToCall) {
  EXPECT_TRUE(refused(with_extra("(S'touch x'\nios\nsystem\n"), kUnsupported, "os.system"));
  EXPECT_TRUE(refused(with_extra("(ifairseq.meters\nAverageMeter\n"), kFormat, "protocol 0"));
  EXPECT_TRUE(refused(with_extra("(" + py::global("argparse", "Namespace") + "o"), kFormat,
                      "unknown opcode 111"));
  EXPECT_TRUE(refused(with_extra("\x82\x01"), kFormat, "unknown opcode 130"));
}
TEST(PickleAttack, InertRecordsAreNoModel) {
  const std::string meter = py::object(py::global("fairseq.meters", "AverageMeter"), {});
  EXPECT_NO_THROW(open_bytes(with_extra(meter)));
  EXPECT_TRUE(refused(zip_of(checkpoint_pickle(meter)), kUnsupported, "is not a plain tensor"));
  EXPECT_TRUE(
      refused(zip_of(py::pickle(py::dict({{"model", meter}}))), kFormat, "state is not a dict"));
  EXPECT_EQ(config_of(meter), nullptr);
}
TEST(PickleAttack, NothingOfAnotherPackagesNameIsKnown) {
  EXPECT_TRUE(archive::is_inert_global("fairseq.meters", "AverageMeter"));
  EXPECT_FALSE(archive::is_inert_global("fairseq_evil", "x"));
  EXPECT_FALSE(archive::is_inert_global("numpyx.core", "x"));
  EXPECT_FALSE(archive::is_inert_global("", ""));
}

TEST(PickleAttack, UnknownOpcodes) {
  for (const int opcode : {0x00, 0x7f, 0x98, 0xff}) {
    EXPECT_TRUE(
        refused(with_extra(std::string(1, static_cast<char>(opcode))), kFormat, "unknown opcode"))
        << opcode;
  }
}
TEST(PickleAttack, UnknownProtocol) {
  EXPECT_TRUE(refused(zip_of("\x80\x06N."), kFormat, "protocol 6"));
}
TEST(PickleAttack, StackUnderflow) {
  for (const std::string opcodes :
       {"0", "a", "s", "\x85", "\x86", "\x87", "R", "b", "Q", "q\x01", "2", "\x81", "\x93", "."}) {
    EXPECT_TRUE(refused(zip_of("\x80\x02" + opcodes), kFormat, "the stack is empty")) << opcodes;
    EXPECT_TRUE(refused(zip_of("\x80\x02N(" + opcodes), kFormat, "the stack is empty")) << opcodes;
  }
  for (const std::string opcodes : {"t", "l", "d", "e", "u", "1", "\x90", "\x91"}) {
    EXPECT_TRUE(refused(zip_of("\x80\x02" + opcodes), kFormat, "no mark")) << opcodes;
  }
}
TEST(PickleAttack, ValuesAreLeftOver) {
  EXPECT_TRUE(refused(zip_of(py::pickle("NN")), kFormat, "left on the stack"));
  EXPECT_TRUE(refused(zip_of(checkpoint_pickle(py::tensor({})) + "N."), kFormat,
                      "after the end of the pickle"));
}
TEST(PickleAttack, EveryTruncationIsRefused) {
  const std::string whole = checkpoint_pickle(py::tensor({}));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_THROW(open_bytes(zip_of(whole.substr(0, size))), Error) << size;
  }
}
TEST(PickleAttack, MemoWasNeverWritten) {
  EXPECT_TRUE(refused(with_extra("h\x07"), kFormat, "memo 7 was never written"));
  EXPECT_TRUE(refused(with_extra(py::get(0xfffffff0U)), kFormat, "was never written"));
  EXPECT_TRUE(refused(with_extra("g-1\n"), kFormat, "was never written"));
}
TEST(PickleAttack, MemoAtAHugeIndexIsNoAllocation) {
  for (const std::string& put :
       std::vector<std::string>{py::put(0xffffffffU), py::put(500'000), "p-1\n"}) {
    EXPECT_TRUE(refused(with_extra("N" + put), kLimit, "expected less than 500000"));
  }
  EXPECT_NO_THROW(open_bytes(with_extra("N" + py::put(499'999))));
}
TEST(PickleAttack, ItemsOfWhatHasNone) {
  EXPECT_TRUE(refused(with_extra(py::list({}) + py::text("k") + "Ns"), kFormat, "not a dict"));
  EXPECT_TRUE(refused(with_extra(py::text("k") + py::text("k") + "Ns"), kFormat, "not a dict"));
  EXPECT_TRUE(refused(with_extra(py::tuple({}) + "(NNu"), kFormat, "not a dict"));
  EXPECT_TRUE(refused(with_extra(py::storage({}) + "(NNu"), kFormat, "not a dict"));
  EXPECT_TRUE(refused(with_extra(py::dict({}) + "Na"), kFormat, "not a list"));
  EXPECT_TRUE(refused(with_extra("N(NNe"), kFormat, "not a list"));
  EXPECT_TRUE(refused(with_extra("}(NNNu"), kFormat, "a key without a value"));
  EXPECT_TRUE(refused(with_extra("(NNNd"), kFormat, "a key without a value"));
}
TEST(PickleAttack, CallsOfWhatCannotBeCalled) {
  EXPECT_TRUE(refused(with_extra("N)R"), kFormat, "not a global"));
  EXPECT_TRUE(refused(with_extra(py::text("os.system") + ")R"), kFormat, "not a global"));
  EXPECT_TRUE(refused(with_extra(py::global("argparse", "Namespace") + "NR"), kFormat,
                      "arguments that are not a tuple"));
  EXPECT_TRUE(refused(with_extra(py::list({}) + "Nb"), kFormat, "not an object"));
  EXPECT_TRUE(refused(with_extra("NN\x93"), kFormat, "a global without a name"));
  EXPECT_TRUE(refused(
      with_extra(py::call(py::global("collections", "OrderedDict"), {py::list({py::none()})})),
      kFormat, "not pairs"));
}
TEST(PickleAttack, LengthsBeyondTheEnd) {
  const auto max = ~std::uint64_t{0};
  for (const std::string& value : std::vector<std::string>{
           "X" + py::raw(~std::uint32_t{0}), "B" + py::raw(0x7fffffffU), "U\xff", "C\xff",
           "\x8c\xff", "T" + py::raw(std::int32_t{-1}), "\x8b" + py::raw(std::int32_t{-5}),
           "\x8b" + py::raw(std::int32_t{0x7fffffff}), "\x8d" + py::raw(max),
           "\x8d" + py::raw(max >> 1), "\x8e" + py::raw(std::uint64_t{1} << 40),
           "\x96" + py::raw(max), std::string("\x8a\xff")}) {
    EXPECT_THROW(open_bytes(with_extra(value)), Error) << value;
  }
}
TEST(PickleAttack, MalformedText) {
  for (const std::string value :
       {"Ix\n", "I\n", "L12Lx\n", "Fx\n", "S'\n", "Inf\n", "pN\n", "I99999999999999999999999\n"}) {
    EXPECT_TRUE(refused(with_extra(value), kFormat, "")) << value;
  }
  EXPECT_NO_THROW(open_bytes(with_extra("I-5\n0I01\n0L12L\n0F1e300\n0S'a'\n")));
}

// What multiplies: each of these files is small, and would be gigabytes or centuries.
TEST(PickleAttack, NestedConfiguration) {
  std::string deep(100'000, ']');
  deep += std::string(99'999, 'a');
  EXPECT_TRUE(refused(with_args(deep), kLimit, "nests deeper"));
  EXPECT_NO_THROW(open_bytes(with_extra(deep)));  // nobody walks it
}
TEST(PickleAttack, MarksWithoutEnd) {
  EXPECT_TRUE(refused(with_extra(std::string(2'000'000, '(')), kLimit, "too many marks"));
}
TEST(PickleAttack, ConfigurationThatContainsItself) {
  EXPECT_TRUE(refused(with_args("]" + py::put(9) + py::get(9) + "a"), kLimit, "nests deeper"));
  EXPECT_TRUE(refused(with_args("}" + py::put(9) + py::text("k") + py::get(9) + "s"), kLimit,
                      "nests deeper"));
}
TEST(PickleAttack, BillionLaughs) {
  std::string lists = py::list({py::none(), py::none()}) + py::put(100);
  for (std::uint32_t level = 101; level < 125; ++level) {
    lists += "0" + py::list({py::get(level - 1), py::get(level - 1)}) + py::put(level);
  }
  EXPECT_TRUE(refused(with_args(lists), kLimit, "values"));
}
TEST(PickleAttack, LongTextManyTimes) {
  std::string many = py::text(std::string(1 << 20, 'x')) + py::put(100) + "0]";
  for (int i = 0; i < 10'000; ++i) many += py::get(100) + "a";
  EXPECT_TRUE(refused(with_args(many), kLimit, "bytes of text"));
}
TEST(PickleAttack, LongNameOfAGlobalManyTimes) {
  std::string many = py::text("fairseq." + std::string(1 << 20, 'x')) + py::put(100);
  for (int i = 0; i < 10'000; ++i) many += "0" + py::get(100) + py::text("C") + "\x93";
  EXPECT_TRUE(refused(with_extra(many), kLimit, "a global's name has"));
}
TEST(PickleAttack, DictionaryFromPairsManyTimes) {
  std::string pairs = "](" + py::tuple({py::none(), py::none()}) + py::put(101);
  for (int i = 0; i < 100'000; ++i) pairs += "he";  // BINGET 101
  pairs += "e" + std::string("\x85") + py::put(102);
  for (int i = 0; i < 1'000; ++i) {
    pairs += "0" + py::global("collections", "OrderedDict") + py::get(102) + "R";
  }
  EXPECT_TRUE(refused(with_extra(pairs), kLimit, "references"));
}
TEST(PickleAttack, TooManyValues) {
  EXPECT_TRUE(refused(with_extra("(" + std::string(2'000'000, '}') + "t"), kLimit, "values"));
}
TEST(PickleAttack, TooManyReferences) {
  EXPECT_TRUE(refused(with_extra("N(" + std::string(9'000'000, 'N') + "t"), kLimit, "references"));
}
TEST(PickleAttack, TooManyMemoEntries) {
  EXPECT_TRUE(refused(with_extra("N" + std::string(500'001, '\x94')), kLimit, "memo 500000"));
}

TEST(PickleConfig, WhatIsNotDataIsNull) {
  const nlohmann::json config = config_of(py::dict(
      {{"tensor", py::tensor({})},
       {"class", py::global("fairseq.models", "Model")},
       {"bytes", "C\x02\xff\xfe"},
       {"enum", py::call(py::global("fairseq.dataclass.constants", "X"), {py::text("a")})},
       {"list", py::list({py::integer(1), "G" + std::string("\x3f\xe0\0\0\0\0\0\0", 8)})}}));
  EXPECT_EQ(config, (nlohmann::json{{"tensor", nullptr},
                                    {"class", nullptr},
                                    {"bytes", nullptr},
                                    {"enum", nullptr},
                                    {"list", {1, 0.5}},
                                    {"task", "translation"}}));
}
TEST(PickleConfig, LongIntegersKeepTheirSign) {
  EXPECT_EQ(config_of(py::list({"\x8a\x01\xff", "\x8a\x02\xff\x7f", std::string("\x8a\0", 2),
                                py::integer(std::numeric_limits<std::int64_t>::min())})),
            (nlohmann::json{-1, 32767, 0, std::numeric_limits<std::int64_t>::min()}));
}
// OmegaConf.structured() pickles the declared type of a list as operator.getitem(typing.List,
// float).
TEST(PickleConfig, DeclaredTypesOfOmegaConfAreInert) {
  const std::string type =
      py::call(py::global("_operator", "getitem"),
               {py::global("typing", "List"), py::global("builtins", "float")});
  const std::string item = py::object(py::global("omegaconf.nodes", "FloatNode"),
                                      {{"_val", "G" + std::string("\x3f\xe0\0\0\0\0\0\0", 8)}});
  const std::string metadata =
      py::object(py::global("omegaconf.base", "ContainerMetadata"), {{"ref_type", type}});
  EXPECT_EQ(config_of(py::object(py::global("omegaconf.listconfig", "ListConfig"),
                                 {{"_metadata", metadata}, {"_content", py::list({item})}})),
            nlohmann::json{0.5});
}
std::string root_with(const py::Pairs& entries) {
  py::Pairs all = entries;
  all.emplace_back("model", model_state({{"weight", py::tensor({})}}));
  return zip_of(py::pickle(py::dict(all)));
}
// fairseq's load_model_ensemble_and_task looks at args first.
TEST(PickleConfig, ArgumentsComeBeforeCfg) {
  const std::string cfg =
      py::dict({{"model", py::dict({{"arch", py::text("new")}})}, {"task", py::dict({})}});
  EXPECT_EQ(open_bytes(root_with({{"cfg", cfg}, {"args", arguments()}}))->config().at("model"),
            (nlohmann::json{{"arch", "transformer"}, {"layers", 2}, {"task", "translation"}}));
  EXPECT_EQ(open_bytes(root_with({{"args", py::none()}, {"cfg", cfg}}))->config(),
            (nlohmann::json{{"model", {{"arch", "new"}}}, {"task", nlohmann::json::object()}}));
}
// fairseq's _upgrade_state_dict.
TEST(PickleConfig, ArgumentsOfOldCheckpointsAreUpgraded) {
  EXPECT_EQ(config_of(py::dict({{"max_positions", py::integer(7)}})),
            (nlohmann::json{{"max_positions", 7},
                            {"max_source_positions", 7},
                            {"max_target_positions", 7},
                            {"task", "translation"}}));
  const nlohmann::json newer{
      {"max_positions", 7}, {"max_source_positions", 8}, {"task", "denoising"}};
  EXPECT_EQ(config_of(py::dict({{"max_positions", py::integer(7)},
                                {"max_source_positions", py::integer(8)},
                                {"task", py::text("denoising")}})),
            newer);
}
TEST(PickleConfig, MissingIsEmpty) {
  const auto file = open_bytes(
      zip_of(py::pickle(py::dict({{"model", model_state({{"weight", py::tensor({})}})}}))));
  EXPECT_EQ(file->config(), nlohmann::json::object());
}

}  // namespace
}  // namespace elbeam::test
