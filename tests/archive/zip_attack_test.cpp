// One file per rule of zip_index.hpp that breaks it. Each differs from a legal file in that alone.
#include "archive/model_files.hpp"
#include "base/limits.hpp"

#include <gtest/gtest.h>

namespace elbeam::test {
namespace {

using enum ErrorCode;

std::vector<ZipEntrySpec> legal_entries() { return zip_entries(checkpoint_pickle(py::tensor({}))); }
ZipOffsets at(const ZipBytes& zip, const char* name) {
  return zip.at.at(std::string("model/") + name);
}

TEST(ZipAttack, TheUntouchedFileIsLegal) { EXPECT_NO_THROW(open_bytes(zip_model().bytes)); }

TEST(ZipAttack, EveryTruncationIsRefused) {
  const std::string whole = zip_model().bytes;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_THROW(open_bytes(whole.substr(0, size)), Error) << size;
  }
}

// Bytes that say nothing about the model (versions, times, padding) may differ; no other may.
TEST(ZipAttack, NoChangedByteChangesTheModel) {
  const std::string whole = zip_model().bytes;
  const std::string expected = content(*open_bytes(whole));
  int accepted = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    try {
      ASSERT_EQ(content(*open_bytes(changed)), expected) << "byte " << i;
      ++accepted;
    } catch (const Error&) {
    }
  }
  // Per entry: 6 bytes of its local header, 14 of its directory entry, and padding.
  EXPECT_LE(accepted, 4 * (6 + 14) + 41 + 4) << "of " << whole.size();
}

TEST(ZipAttack, BytesAfterTheEnd) {
  EXPECT_TRUE(refused(zip_model().bytes + "x", kFormat, "bytes follow the archive"));
}
TEST(ZipAttack, BytesBeforeTheFirstEntry) {
  EXPECT_TRUE(refused("x" + zip_model().bytes, kFormat, "neither a torch zip file"));
}
TEST(ZipAttack, EntriesBeforeTheFirstEntry) {
  // A second archive in front, whose bytes begin well: a reader from the front would see it.
  EXPECT_TRUE(refused(zip_model().bytes + zip_model().bytes, kFormat, ""));
}
TEST(ZipAttack, CommentInTheEndRecord) {
  ZipBytes zip = zip_model();
  zip.set<std::uint16_t>(zip.end + field::kEndComment, 3).bytes += "abc";
  EXPECT_TRUE(refused(zip.bytes, kFormat, "bytes follow"));
  zip = zip_model();
  zip.set<std::uint16_t>(zip.end + field::kEndComment, 3);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "comment"));
}
TEST(ZipAttack, SeveralDisks) {
  ZipBytes zip = zip_model();
  zip.set<std::uint16_t>(zip.end + field::kEndDisk, 1);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "several disks"));
  zip = zip_model();
  zip.set<std::uint16_t>(at(zip, "version").central + field::kDisk, 1);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "another disk"));
}

TEST(ZipAttack, CompressedData) {
  for (const std::size_t which : {0U, 2U}) {
    auto entries = legal_entries();
    entries[which].compress = true;
    EXPECT_TRUE(refused(write_zip(entries).bytes, kUnsupported, "compressed (method 8)"));
  }
}
TEST(ZipAttack, UnknownMethod) {
  ZipBytes zip = zip_model();
  zip.set<std::uint16_t>(at(zip, "data/0").central + field::kMethod, 14);
  zip.set<std::uint16_t>(at(zip, "data/0").local + field::kLocalMethod, 14);
  EXPECT_TRUE(refused(zip.bytes, kUnsupported, "method 14"));
}
TEST(ZipAttack, Encrypted) {
  ZipBytes zip = zip_model();
  zip.set<std::uint16_t>(at(zip, "data/0").central + field::kFlags, 0x0809);
  zip.set<std::uint16_t>(at(zip, "data/0").local + field::kLocalFlags, 0x0809);
  EXPECT_TRUE(refused(zip.bytes, kUnsupported, "encrypted"));
}

TEST(ZipAttack, DuplicateNames) {
  auto entries = legal_entries();
  entries.push_back(entries[0]);
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "two entries are called"));
}
TEST(ZipAttack, UnsafeNames) {
  for (const std::string name :
       {"model/../data/0", "model/./x", "/etc/passwd", "model//x", "model/", "../model/x",
        "model/a\\b", "c:/x", "model/a\nb", "model/\xc3\xa8", ""}) {
    auto entries = legal_entries();
    entries.push_back({name, "x"});
    EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "unsafe entry name")) << name;
  }
  auto entries = legal_entries();
  entries.push_back({std::string("model/a\0b", 9), "x"});
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "unsafe entry name"));
}
TEST(ZipAttack, NoTopFolder) {
  auto entries = legal_entries();
  entries.push_back({"data.pkl", "x"});
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "not in a top folder"));
}
TEST(ZipAttack, TwoTopFolders) {
  auto entries = legal_entries();
  entries.push_back({"other/x", "x"});
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "two top folders"));
}

TEST(ZipAttack, LocalHeaderDiffers) {
  const auto differs = [](std::size_t where, auto value, bool described) {
    auto entries = legal_entries();
    for (ZipEntrySpec& entry : entries) entry.described = described;
    ZipBytes zip = write_zip(entries);
    zip.set(at(zip, "data/0").local + where, value);
    return refused(zip.bytes, kFormat, "differs from the directory");
  };
  EXPECT_TRUE(differs(field::kLocalName, 'M', true));
  EXPECT_TRUE(differs(field::kLocalFlags, std::uint16_t{0x0800}, true));
  EXPECT_TRUE(differs(field::kLocalMethod, std::uint16_t{8}, true));
  EXPECT_TRUE(differs(field::kLocalCrc, std::uint32_t{7}, true));
  for (const bool described : {true, false}) {
    EXPECT_TRUE(differs(field::kLocalStored, std::uint32_t{23}, described));
    EXPECT_TRUE(differs(field::kLocalSize, std::uint32_t{23}, described));
  }
}
TEST(ZipAttack, LocalHeaderIsNone) {
  ZipBytes zip = zip_model();
  zip.set(at(zip, "data/0").local, 'Q');
  EXPECT_TRUE(refused(zip.bytes, kFormat, "no local header"));
}
TEST(ZipAttack, DescriptorDiffers) {
  for (const std::size_t where : {0U, 4U, 8U, 12U}) {
    ZipBytes zip = zip_model();
    zip.set(at(zip, "data/0").descriptor + where, std::uint32_t{7});
    EXPECT_TRUE(refused(zip.bytes, kFormat, "data descriptor differs")) << where;
  }
}
TEST(ZipAttack, DirectoryEntryIsNone) {
  ZipBytes zip = zip_model();
  zip.set(at(zip, "data/0").central, 'Q');
  EXPECT_TRUE(refused(zip.bytes, kFormat, "no directory entry"));
}

TEST(ZipAttack, OverlappingEntries) {
  ZipBytes zip = zip_model();
  const auto target = static_cast<std::uint32_t>(at(zip, "byteorder").local);
  zip.set(at(zip, "version").central + field::kOffset, target);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "gap or overlap"));
}
TEST(ZipAttack, GapBetweenEntries) {
  const auto entries = legal_entries();
  ZipBytes zip = write_zip(entries);
  // version becomes part of what nothing describes, between the entries and the directory.
  const std::size_t begin = at(zip, "version").central;
  zip.bytes.erase(begin, zip.end64 - begin);
  const auto size = static_cast<std::uint32_t>(begin - zip.directory);
  const std::size_t end64 = begin;
  const std::size_t end = begin + 56 + 20;
  zip.set<std::uint64_t>(end64 + field::kEnd64EntriesHere, 3);
  zip.set<std::uint64_t>(end64 + field::kEnd64Entries, 3);
  zip.set<std::uint64_t>(end64 + field::kEnd64Size, size);
  zip.set<std::uint64_t>(end64 + 56 + 8, end64);
  zip.set<std::uint16_t>(end + 8, 3);
  zip.set<std::uint16_t>(end + field::kEndEntries, 3);
  zip.set<std::uint32_t>(end + field::kEndSize, size);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "between the last entry and the directory"));
}
TEST(ZipAttack, UnknownExtraField) {
  auto entries = legal_entries();
  entries[1].extra = "UT" + py::raw(std::uint16_t{2}) + "xx";
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "unexpected extra field"));
}
TEST(ZipAttack, ExtraFieldBeyondItsEnd) {
  auto entries = legal_entries();
  entries[1].extra = "FB" + py::raw(std::uint16_t{2000}) + "xx";
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "extra field needs 2000 bytes"));
}

TEST(ZipAttack, ChecksumMismatch) {
  for (const char* name : {"data/0", "data.pkl", "version"}) {
    ZipBytes zip = zip_model();
    const std::size_t where = at(zip, name).data + 1;
    zip.set(where, static_cast<char>(zip.bytes[where] ^ 1));
    EXPECT_TRUE(refused(zip.bytes, kIntegrity, "does not match its checksum")) << name;
  }
}
TEST(ZipAttack, StoredWithTwoSizes) {
  auto entries = legal_entries();
  ZipBytes zip = write_zip(entries);
  zip.set<std::uint32_t>(at(zip, "data/0").central + field::kSize, 23);
  zip.set<std::uint32_t>(at(zip, "data/0").descriptor + 12, 23);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "two different sizes"));
}
TEST(ZipAttack, HugeDeclaredSizes) {
  for (const std::uint32_t size : {0x7fffffffU, 0xfffffffeU}) {
    ZipBytes zip = zip_model();
    zip.set(at(zip, "data/0").central + field::kStored, size);
    zip.set(at(zip, "data/0").central + field::kSize, size);
    EXPECT_TRUE(refused(zip.bytes, kFormat, "bytes"));
  }
}
TEST(ZipAttack, NumberOfEntriesIsWrong) {
  for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{5},
                                    ~std::uint64_t{0}, std::uint64_t{1} << 40}) {
    ZipBytes zip = zip_model();
    zip.set(zip.end64 + field::kEnd64EntriesHere, count);
    zip.set(zip.end64 + field::kEnd64Entries, count);
    zip.set<std::uint16_t>(zip.end + 8, 0xffff);
    zip.set<std::uint16_t>(zip.end + field::kEndEntries, 0xffff);
    EXPECT_THROW(open_bytes(zip.bytes), Error) << count;
  }
}
TEST(ZipAttack, NumbersBeyondSigned64Bits) {
  for (const std::size_t where :
       {field::kEnd64EntriesHere, field::kEnd64Entries, field::kEnd64Size, field::kEnd64Offset}) {
    ZipBytes zip = zip_model();
    zip.set(zip.end64 + where, ~std::uint64_t{0});
    EXPECT_TRUE(refused(zip.bytes, kLimit, "at byte " + std::to_string(zip.end64 + where) + ": "))
        << where;
  }
}
TEST(ZipAttack, BytesInsideTheDirectory) {
  ZipBytes zip = zip_model();
  zip.bytes.insert(zip.end64, "xyz");
  const auto size = static_cast<std::uint32_t>(zip.end64 + 3 - zip.directory);
  zip.set<std::uint64_t>(zip.end64 + 3 + field::kEnd64Size, size);
  zip.set<std::uint64_t>(zip.locator + 3 + 8, zip.end64 + 3);
  zip.set<std::uint32_t>(zip.end + 3 + field::kEndSize, size);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "3 bytes after the last entry of the directory"));
}
TEST(ZipAttack, DirectoryElsewhere) {
  for (const std::uint64_t offset :
       {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 62, ~std::uint64_t{0} >> 1}) {
    ZipBytes zip = zip_model();
    zip.set(zip.end64 + field::kEnd64Offset, offset);
    zip.set<std::uint32_t>(zip.end + field::kEndOffset, 0xffffffffU);
    EXPECT_THROW(open_bytes(zip.bytes), Error) << offset;
  }
}
TEST(ZipAttack, EndRecordsContradict) {
  ZipBytes zip = zip_model();
  zip.set<std::uint32_t>(zip.end + field::kEndSize, 7);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "contradict each other"));
}
TEST(ZipAttack, LocatorPointsElsewhere) {
  ZipBytes zip = zip_model();
  zip.set<std::uint64_t>(zip.locator + 8, 0);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "locator does not point"));
}
TEST(ZipAttack, Zip64RecordIsMalformed) {
  ZipBytes zip = zip_model();
  zip.set<std::uint64_t>(zip.end64 + field::kEnd64RecordSize, ~std::uint64_t{0});
  EXPECT_TRUE(refused(zip.bytes, kFormat, "malformed zip64"));
}
TEST(ZipAttack, Zip64SizesAreMissing) {
  ZipBytes zip = zip_model();
  zip.set<std::uint32_t>(at(zip, "data/0").central + field::kSize, 0xffffffffU);
  EXPECT_TRUE(refused(zip.bytes, kFormat, "zip64 sizes are missing"));
}

// A zip64 field for the last entry of the directory; `extra` replaces what it holds.
ZipBytes with_zip64(const std::string& extra, bool marked) {
  ZipBytes zip = write_zip(legal_entries());
  const std::size_t central = at(zip, "version").central;
  if (marked) {
    zip.set<std::uint32_t>(central + field::kStored, 0xffffffffU);
    zip.set<std::uint32_t>(central + field::kSize, 0xffffffffU);
  }
  const std::string whole =
      py::raw(std::uint16_t{1}) + py::raw(static_cast<std::uint16_t>(extra.size())) + extra;
  zip.set(central + field::kExtraLength, static_cast<std::uint16_t>(whole.size()));
  zip.bytes.insert(zip.end64, whole);
  // The data descriptor of such an entry is wide.
  const std::string wide = py::raw(std::uint64_t{2}) + py::raw(std::uint64_t{2});
  if (marked) zip.bytes.replace(at(zip, "version").descriptor + 8, 8, wide);
  const std::size_t moved = marked ? 8 : 0;
  zip.end64 += whole.size() + moved;
  zip.end += whole.size() + moved;
  const auto size = static_cast<std::uint32_t>(zip.end64 - zip.directory - moved);
  zip.set<std::uint64_t>(zip.end64 + field::kEnd64Size, size);
  zip.set<std::uint64_t>(zip.end64 + field::kEnd64Offset, zip.directory + moved);
  zip.set<std::uint64_t>(zip.end64 + 56 + 8, zip.end64);
  zip.set<std::uint32_t>(zip.end + field::kEndSize, size);
  zip.set<std::uint32_t>(zip.end + field::kEndOffset,
                         static_cast<std::uint32_t>(zip.directory + moved));
  return zip;
}

TEST(ZipAttack, Zip64Lies) {
  const auto sizes = [](std::uint64_t size, std::uint64_t stored) {
    return py::raw(size) + py::raw(stored);
  };
  EXPECT_NO_THROW(open_bytes(with_zip64(sizes(2, 2), true).bytes));
  EXPECT_TRUE(refused(with_zip64(sizes(2, 2), false).bytes, kFormat, "not called for"));
  EXPECT_TRUE(refused(with_zip64(sizes(2, 2) + "x", true).bytes, kFormat, "bytes too many"));
  EXPECT_TRUE(refused(with_zip64("x", true).bytes, kFormat, "zip64 size"));
  for (const std::uint64_t lie : {std::uint64_t{3}, std::uint64_t{1} << 40, ~std::uint64_t{0},
                                  ~std::uint64_t{0} >> 1, std::uint64_t{1} << 63}) {
    EXPECT_THROW(open_bytes(with_zip64(sizes(lie, lie), true).bytes), Error) << lie;
    EXPECT_THROW(open_bytes(with_zip64(sizes(2, lie), true).bytes), Error) << lie;
  }
  const ZipBytes wide = with_zip64(sizes(~std::uint64_t{0}, 2), true);
  const std::size_t place = wide.bytes.find(sizes(~std::uint64_t{0}, 2));
  EXPECT_TRUE(refused(wide.bytes, kLimit, "at byte " + std::to_string(place) + ": zip64 size"));
}

TEST(ZipAttack, MissingPickle) {
  auto entries = legal_entries();
  entries.erase(entries.begin());
  EXPECT_TRUE(refused(write_zip(entries).bytes, kFormat, "data.pkl is missing"));
}
TEST(ZipAttack, EmptyZip) {
  EXPECT_TRUE(refused(write_zip({}).bytes, kLimit, "65536 entries, got 0"));
}
TEST(ZipAttack, BigEndian) {
  auto entries = legal_entries();
  entries[1].data = "big";
  EXPECT_TRUE(refused(write_zip(entries).bytes, kUnsupported, "byte order"));
}
TEST(ZipAttack, TarFileOfTorch01) {
  EXPECT_TRUE(refused("sys_info" + std::string(1000, '\0'), kFormat, "neither a torch zip"));
}
TEST(ZipAttack, NoFile) {
  EXPECT_TRUE(throws(kIo, "missing.pt", [] { Checkpoint::open("missing.pt"); }));
  EXPECT_TRUE(throws(kIo, "regular", [] { Checkpoint::open(testing::TempDir()); }));
  EXPECT_TRUE(refused("", kFormat, "empty"));
}

}  // namespace
}  // namespace elbeam::test
