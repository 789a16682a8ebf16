#include "archive/pack_file.hpp"

#include "archive/crc32.hpp"
#include "archive/json_text.hpp"
#include "base/check.hpp"
#include "base/checked_math.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace elbeam::archive {
namespace {

constexpr std::array<char, 8> kMagic{'E', 'L', 'B', 'P', 'A', 'C', 'K', '1'};
// Written in whole, aligned pieces of this size, a file lies in the page cache in huge pages where
// the file system has them (ext4 of Linux 6.16, XFS), and is mapped as such.
constexpr std::size_t kPiece = std::size_t{2} << 20;
constexpr std::chrono::hours kAbandoned{1};

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint64_t file_bytes = 0;
  std::uint64_t index_offset = 0;
  std::uint64_t index_bytes = 0;
  std::uint32_t index_crc = 0;
  std::array<std::byte, 24> unused{};
  std::uint32_t crc = 0;  // of all before it
};
static_assert(sizeof(Header) == kPackAlignment && std::is_trivially_copyable_v<Header>);

std::uint32_t header_crc(const Header& header) {
  return crc32(0, std::as_bytes(std::span(&header, 1)).first(offsetof(Header, crc)));
}

// Its whole content can change what a model says, so it has to be as trusted as the model.
void check_owner(const MappedFile& file, uid_t model_owner) {
  const struct stat& status = file.status();
  ELBEAM_CHECK((status.st_mode & (S_IWGRP | S_IWOTH)) == 0, ErrorCode::kIo, file.path(),
               ": others than its owner may write to it");
  ELBEAM_CHECK(status.st_uid == ::geteuid() || status.st_uid == 0 || status.st_uid == model_owner,
               ErrorCode::kIo, file.path(), ": it belongs to user ", status.st_uid,
               ", who is neither root nor the owner of the model or of this process");
}

Header read_header(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  Header header;
  ELBEAM_CHECK(bytes.size() >= sizeof(header), ErrorCode::kFormat, file.path(), ": ", bytes.size(),
               " bytes are no pack cache");
  std::memcpy(&header, bytes.data(), sizeof(header));
  ELBEAM_CHECK(header.magic == kMagic, ErrorCode::kFormat, file.path(), ": not a pack cache");
  ELBEAM_CHECK(header.crc == header_crc(header), ErrorCode::kIntegrity, file.path(),
               ": the header is damaged");
  ELBEAM_CHECK(header.file_bytes == bytes.size() && header.index_offset >= sizeof(header) &&
                   header.index_offset <= bytes.size() &&
                   header.index_bytes == bytes.size() - header.index_offset,
               ErrorCode::kIntegrity, file.path(), ": ", bytes.size(), " bytes, expected ",
               header.file_bytes);
  return header;
}

nlohmann::json read_index(const MappedFile& file, const Header& header) {
  const auto text = file.bytes().subspan(header.index_offset);
  ELBEAM_CHECK(crc32(0, text) == header.index_crc, ErrorCode::kIntegrity, file.path(),
               ": the index is damaged");
  nlohmann::json index =
      parse_json({reinterpret_cast<const char*>(text.data()), text.size()}, file.path());
  ELBEAM_CHECK(index.is_object() && index.contains("key") && index.contains("entries") &&
                   index.at("entries").is_object(),
               ErrorCode::kFormat, file.path(), ": the index has no key or no entries");
  return index;
}

// An entry as it stands in the index: [offset, bytes, CRC-32, facts].
struct Place {
  PackEntry entry;
  std::uint32_t crc = 0;
};

Place read_place(const MappedFile& file, std::uint64_t limit, const std::string& name,
                 const nlohmann::json& value) {
  const auto is_number = [&](std::size_t i) { return value.at(i).is_number_unsigned(); };
  ELBEAM_CHECK(
      value.is_array() && value.size() == 4 && is_number(0) && is_number(1) && is_number(2),
      ErrorCode::kFormat, file.path(), ": malformed entry ", quoted(name, 200));
  const auto offset = value.at(0).get<std::uint64_t>();
  const auto bytes = value.at(1).get<std::uint64_t>();
  const auto crc = value.at(2).get<std::uint64_t>();
  ELBEAM_CHECK(offset % kPackAlignment == 0 && offset <= limit && bytes <= limit - offset &&
                   crc <= 0xffffffffU,
               ErrorCode::kFormat, file.path(), ": entry ", quoted(name, 200),
               " lies outside the file");
  return {{value.at(3), file.bytes().subspan(offset, bytes)}, static_cast<std::uint32_t>(crc)};
}

// Lets go of the bytes as it passes: not all of them are needed in every run, and what is comes
// back at little cost.
std::uint32_t crc_of(const MappedFile& file, std::span<const std::byte> bytes) {
  std::uint32_t crc = 0;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kPiece));
    crc = crc32(crc, part);
    file.release(part);
    bytes = bytes.subspan(part.size());
  }
  return crc;
}

// What processes that were killed have left behind.
void remove_abandoned(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  const std::string prefix = path.filename().string() + ".tmp-";
  const fs::path folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (!it->path().filename().string().starts_with(prefix)) continue;
    const auto modified = it->last_write_time(ignored);
    if (!ignored && now - modified > kAbandoned) fs::remove(it->path(), ignored);
  }
}

}  // namespace

std::shared_ptr<const PackFile> PackFile::open(const std::string& path, const nlohmann::json& key,
                                               uid_t model_owner, ThreadPool& pool) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return nullptr;
  std::shared_ptr<PackFile> pack(new PackFile(MappedFile(path)));
  const MappedFile& file = pack->file_;
  check_owner(file, model_owner);
  const Header header = read_header(file);
  const nlohmann::json index = read_index(file, header);
  if (index.at("key") != key) return nullptr;
  std::vector<Place> places;
  for (const auto& [name, value] : index.at("entries").items()) {
    places.push_back(read_place(file, header.index_offset, name, value));
    pack->entries_[name] = places.back().entry;
  }
  file.expect_all();
  pool.parallel_for(ssize(places.size()), [&](std::int64_t i) {
    const Place& place = places[usize(i)];
    ELBEAM_CHECK(crc_of(file, place.entry.bytes) == place.crc, ErrorCode::kIntegrity, file.path(),
                 ": its content does not match its checksums");
  });
  return pack;
}

const PackEntry* PackFile::find(const std::string& name) const noexcept {
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : &it->second;
}

PackFileWriter::PackFileWriter(std::string path, nlohmann::json key) : path_(std::move(path)) {
  index_["key"] = std::move(key);
  index_["entries"] = nlohmann::json::object();
  remove_abandoned(path_);
  temporary_ = path_ + ".tmp-XXXXXX";
  fd_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (fd_ < 0) {
    const int cause = errno;
    temporary_.clear();
    failure_ = concat("cannot be created: ", std::strerror(cause));
    return;
  }
  buffer_.reserve(kPiece);
  append(std::vector<std::byte>(sizeof(Header)));
}

PackFileWriter::~PackFileWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void PackFileWriter::give_up(const std::string& what) {
  const int cause = errno;
  if (failure_.empty()) failure_ = concat(what, ": ", std::strerror(cause));
}

bool PackFileWriter::write_at(std::span<const std::byte> bytes, std::int64_t offset) {
  while (failure_.empty() && !bytes.empty()) {
    const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      give_up("cannot be written");
      break;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += count;
  }
  return failure_.empty();
}

void PackFileWriter::flush() {
  if (write_at(buffer_, written_)) written_ += ssize(buffer_.size());
  buffer_.clear();
}

void PackFileWriter::append(std::span<const std::byte> bytes) {
  while (failure_.empty() && !bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kPiece - buffer_.size()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
    if (buffer_.size() == kPiece) flush();
    bytes = bytes.subspan(part.size());
  }
}

void PackFileWriter::add(const std::string& name, nlohmann::json facts,
                         std::span<const std::byte> bytes) {
  nlohmann::json& entries = index_.at("entries");
  if (!failure_.empty() || entries.contains(name)) return;
  const std::int64_t end = written_ + ssize(buffer_.size());
  const std::int64_t offset = (end + kPackAlignment - 1) / kPackAlignment * kPackAlignment;
  append(std::vector<std::byte>(usize(offset - end)));
  entries[name] = {offset, bytes.size(), crc32(0, bytes), std::move(facts)};
  append(bytes);
}

void PackFileWriter::finish(mode_t mode) {
  const std::int64_t offset = written_ + ssize(buffer_.size());
  const std::string text = index_.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto index = std::as_bytes(std::span(text));
  append(index);
  flush();
  Header header;
  header.index_offset = static_cast<std::uint64_t>(offset);
  header.index_bytes = index.size();
  header.file_bytes = header.index_offset + header.index_bytes;
  header.index_crc = crc32(0, index);
  header.crc = header_crc(header);
  write_at(std::as_bytes(std::span(&header, 1)), 0);
  if (!failure_.empty()) return;
  // Nobody gets a right that the model does not give, and nobody but the owner may write.
  if (::fchmod(fd_, S_IRUSR | S_IWUSR | (mode & (S_IRGRP | S_IROTH))) != 0 || ::fsync(fd_) != 0)
    return give_up("cannot be written");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return give_up("cannot be moved to its place");
  temporary_.clear();
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  const int directory = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);  // a rename that a crash undoes costs a start, no more
  ::close(directory);
}

}  // namespace elbeam::archive
