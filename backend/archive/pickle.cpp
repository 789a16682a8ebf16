#include "archive/pickle.hpp"

#include "archive/byte_reader.hpp"
#include "archive/pickle_globals.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

namespace elbeam::archive {

const PickleValue* PickleValue::find(std::string_view key) const noexcept {
  if (kind != PickleKind::kDict) return nullptr;
  for (std::size_t i = items.size(); i >= 2; i -= 2) {
    if (items[i - 2]->kind == PickleKind::kText && items[i - 2]->text == key) return items[i - 1];
  }
  return nullptr;
}

// The stack machine of pickletools, protocols 0 to 5, without the opcodes that no torch or fairseq
// file contains.
class PickleMachine {
 public:
  PickleMachine(PickleDocument& document, std::span<const std::byte> bytes,
                const std::string& where, std::int64_t offset)
      : document_(document), where_(where), offset_(offset), bytes_(bytes), reader_(bytes, where_) {
    none_ = make(PickleKind::kNone);
    true_ = make(PickleKind::kBool);
    true_->integer = 1;
    false_ = make(PickleKind::kBool);
    empty_ = make(PickleKind::kTuple);
  }

  void run() {
    bool stopped = false;
    while (!stopped) {
      opcode_at_ = reader_.position();
      const auto opcode = reader_.read<std::uint8_t>("an opcode");
      if (opcode == '.') {
        stopped = true;
      } else if (!number(opcode) && !text(opcode) && !container(opcode) && !stack_or_memo(opcode) &&
                 !object(opcode)) {
        bad("unknown opcode ", static_cast<int>(opcode));
      }
    }
    document_.root_ = pop();
    if (!stack_.empty()) bad("values are left on the stack at its end");
    document_.size_ = reader_.position();
  }

 private:
  using Value = PickleValue;

  template <typename... Parts>
  [[noreturn]] void bad(const Parts&... parts) const {
    fail(ErrorCode::kFormat, where_, ": pickle at byte ", offset_ + opcode_at_, ": ", parts...);
  }

  Value* make(PickleKind kind) {
    ELBEAM_CHECK(ssize(document_.values_.size()) < limits::kMaxPickleObjects, ErrorCode::kLimit,
                 where_, ": pickle: more than ", limits::kMaxPickleObjects, " values");
    Value& value = document_.values_.emplace_back();
    value.kind = kind;
    return &value;
  }

  // Every push costs the file a byte and the reader eight, and values can be pushed again and
  // again.
  void push(Value* value) {
    charge(1);
    stack_.push_back(value);
  }
  void charge(std::int64_t references) {
    pushes_ += references;
    ELBEAM_CHECK(pushes_ <= limits::kMaxPicklePushes, ErrorCode::kLimit, where_,
                 ": pickle: more than ", limits::kMaxPicklePushes, " references");
  }
  void push_int(std::int64_t integer) {
    Value* value = make(PickleKind::kInt);
    value->integer = integer;
    push(value);
  }
  void push_text(std::string_view view) {
    Value* value = make(PickleKind::kText);
    value->text = view;
    push(value);
  }

  Value* pop() {
    if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size()))
      bad("the stack is empty");
    Value* value = stack_.back();
    stack_.pop_back();
    return value;
  }
  Value* top() {
    Value* value = pop();
    stack_.push_back(value);
    return value;
  }
  std::vector<const Value*> pop_mark() {
    if (marks_.empty()) bad("no mark on the stack");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const Value*> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }

  // A line of protocol 0, without its end.
  std::string_view line() {
    const std::int64_t begin = reader_.position();
    while (reader_.read<char>("a line") != '\n') {
    }
    const auto part = bytes_.subspan(usize(begin), usize(reader_.position() - 1 - begin));
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

  // Python writes long integers with a trailing L.
  std::int64_t parse_integer(std::string_view digits) {
    if (!digits.empty() && digits.back() == 'L') digits.remove_suffix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size())
      bad("bad integer ", quoted(digits));
    return value;
  }

  // Two's complement, little-endian. More than 8 bytes (torch's magic number has 10) do not fit and
  // are kept as text, which compares well enough.
  void push_long(std::int64_t count) {
    const std::string_view bytes = reader_.text(count, "an integer");
    if (count > 8) {
      push_text(bytes);
      return;
    }
    std::uint64_t value = count > 0 && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
      value = (value << 8) | static_cast<unsigned char>(bytes[i]);
    push_int(static_cast<std::int64_t>(value));
  }

  bool number(std::uint8_t opcode);
  bool text(std::uint8_t opcode);
  bool container(std::uint8_t opcode);
  bool stack_or_memo(std::uint8_t opcode);
  bool object(std::uint8_t opcode);
  void add_items(Value* target, const std::vector<const Value*>& items);
  void add_pairs(Value* target, const std::vector<const Value*>& items);
  void push_global(std::string_view module, std::string_view name);
  void reduce(Value* callable, Value* arguments);
  void build(Value* target, Value* state);
  void remember(std::int64_t index) {
    ELBEAM_CHECK(ssize(memo_.size()) < limits::kMaxPickleObjects, ErrorCode::kLimit, where_,
                 ": pickle: more than ", limits::kMaxPickleObjects, " memo entries");
    memo_[index] = top();
  }
  void recall(std::int64_t index) {
    const auto it = memo_.find(index);
    if (it == memo_.end()) bad("memo ", index, " was never written");
    push(it->second);
  }

  PickleDocument& document_;
  const std::string& where_;
  std::int64_t offset_;
  std::span<const std::byte> bytes_;
  ByteReader reader_;
  std::int64_t opcode_at_ = 0;
  std::int64_t pushes_ = 0;
  Value *none_, *true_, *false_, *empty_;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::int64_t, Value*> memo_;
};

bool PickleMachine::number(std::uint8_t opcode) {
  switch (opcode) {
    case 'K':
      push_int(reader_.read<std::uint8_t>("an integer"));
      return true;
    case 'M':
      push_int(reader_.read<std::uint16_t>("an integer"));
      return true;
    case 'J':
      push_int(reader_.read<std::int32_t>("an integer"));
      return true;
    case 0x8a:
      push_long(reader_.read<std::uint8_t>("an integer's size"));
      return true;
    case 0x8b:
      push_long(reader_.read<std::int32_t>("an integer's size"));
      return true;
    case 'I': {
      const std::string_view digits = line();
      if (digits == "00" || digits == "01") {
        push(digits == "01" ? true_ : false_);
      } else {
        push_int(parse_integer(digits));
      }
      return true;
    }
    case 'L':
      push_int(parse_integer(line()));
      return true;
    case 'G': {  // the one big-endian number
      std::uint64_t bits = 0;
      for (int i = 0; i < 8; ++i) bits = (bits << 8) | reader_.read<std::uint8_t>("a float");
      Value* value = make(PickleKind::kFloat);
      std::memcpy(&value->real, &bits, sizeof(bits));
      push(value);
      return true;
    }
    case 'F': {
      const std::string_view digits = line();
      Value* value = make(PickleKind::kFloat);
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value->real);
      if (error != std::errc() || end != digits.data() + digits.size())
        bad("bad float ", quoted(digits));
      push(value);
      return true;
    }
    case 'N':
      push(none_);
      return true;
    case 0x88:
      push(true_);
      return true;
    case 0x89:
      push(false_);
      return true;
    default:
      return false;
  }
}

bool PickleMachine::text(std::uint8_t opcode) {
  const char* what = "a string";
  switch (opcode) {
    case 'U':
    case 'C':
    case 0x8c:
      push_text(reader_.text(reader_.read<std::uint8_t>(what), what));
      return true;
    case 'T':
      push_text(reader_.text(reader_.read<std::int32_t>(what), what));
      return true;
    case 'X':
    case 'B':
      push_text(reader_.text(reader_.read<std::uint32_t>(what), what));
      return true;
    case 0x8d:
    case 0x8e:
    case 0x96:
      push_text(reader_.text(narrow<std::int64_t>(reader_.read<std::uint64_t>(what)), what));
      return true;
    case 'V':
      push_text(line());
      return true;
    case 'S': {
      const std::string_view quoted_text = line();
      if (quoted_text.size() < 2) bad("a string without quotes");
      push_text(quoted_text.substr(1, quoted_text.size() - 2));
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::container(std::uint8_t opcode) {
  const auto pushed = [&](PickleKind kind, std::vector<const Value*> items) {
    Value* value = make(kind);
    value->items = std::move(items);
    push(value);
    return true;
  };
  switch (opcode) {
    case ']':
    case 0x8f:
      push(make(PickleKind::kList));
      return true;
    case '}':
      push(make(PickleKind::kDict));
      return true;
    case ')':
      push(empty_);
      return true;
    case 'l':
    case 0x91:  // frozenset
      return pushed(PickleKind::kList, pop_mark());
    case 't':
      return pushed(PickleKind::kTuple, pop_mark());
    case 'd': {
      const auto items = pop_mark();
      Value* value = make(PickleKind::kDict);
      add_pairs(value, items);
      push(value);
      return true;
    }
    case 0x85:
    case 0x86:
    case 0x87: {
      std::vector<const Value*> items(static_cast<std::size_t>(opcode - 0x84));
      for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
      return pushed(PickleKind::kTuple, std::move(items));
    }
    case 'a': {
      const Value* item = pop();
      add_items(top(), {item});
      return true;
    }
    case 'e':
    case 0x90: {
      const auto items = pop_mark();
      add_items(top(), items);
      return true;
    }
    case 's': {
      const Value* item = pop();
      const Value* key = pop();
      add_pairs(top(), {key, item});
      return true;
    }
    case 'u': {
      const auto items = pop_mark();
      add_pairs(top(), items);
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::stack_or_memo(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80: {
      const auto protocol = reader_.read<std::uint8_t>("the protocol");
      if (protocol > 5) bad("protocol ", static_cast<int>(protocol), ", expected 0 to 5");
      return true;
    }
    case 0x95:
      reader_.read<std::uint64_t>("a frame");
      return true;
    case '(':
      ELBEAM_CHECK(ssize(marks_.size()) < limits::kMaxPickleObjects, ErrorCode::kLimit, where_,
                   ": pickle: too many marks");
      marks_.push_back(stack_.size());
      return true;
    case '0':
      pop();
      return true;
    case '1':
      pop_mark();
      return true;
    case '2':
      push(top());
      return true;
    case 'q':
      remember(reader_.read<std::uint8_t>("a memo index"));
      return true;
    case 'r':
      remember(reader_.read<std::uint32_t>("a memo index"));
      return true;
    case 'p':
      remember(parse_integer(line()));
      return true;
    case 0x94:
      remember(ssize(memo_.size()));
      return true;
    case 'h':
      recall(reader_.read<std::uint8_t>("a memo index"));
      return true;
    case 'j':
      recall(reader_.read<std::uint32_t>("a memo index"));
      return true;
    case 'g':
      recall(parse_integer(line()));
      return true;
    default:
      return false;
  }
}

bool PickleMachine::object(std::uint8_t opcode) {
  switch (opcode) {
    case 'c': {
      const std::string_view module = line();
      push_global(module, line());
      return true;
    }
    case 0x93: {
      const Value* name = pop();
      const Value* module = pop();
      if (name->kind != PickleKind::kText || module->kind != PickleKind::kText)
        bad("a global without a name");
      push_global(module->text, name->text);
      return true;
    }
    case 'R':
    case 0x81: {
      Value* arguments = pop();
      Value* callable = pop();
      reduce(callable, arguments);
      return true;
    }
    case 'b': {
      Value* state = pop();
      build(top(), state);
      return true;
    }
    case 'Q': {
      const Value* id = pop();
      Value* value = make(PickleKind::kPersistent);
      value->items = {id};
      push(value);
      return true;
    }
    default:
      return false;
  }
}

void PickleMachine::add_items(Value* target, const std::vector<const Value*>& items) {
  if (target->kind == PickleKind::kObject) return;  // a list subclass: its content is not read
  if (target->kind != PickleKind::kList) bad("appending to what is not a list");
  target->items.insert(target->items.end(), items.begin(), items.end());
}

void PickleMachine::add_pairs(Value* target, const std::vector<const Value*>& items) {
  if (items.size() % 2 != 0) bad("a key without a value");
  if (target->kind == PickleKind::kObject) return;  // a dict subclass: its content is not read
  if (target->kind != PickleKind::kDict) bad("setting an item of what is not a dict");
  target->items.insert(target->items.end(), items.begin(), items.end());
}

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  // Names are copied below, and one long string can be referred to a million times.
  ELBEAM_CHECK(module.size() + name.size() <= usize(limits::kMaxNameBytes), ErrorCode::kLimit,
               where_, ": pickle at byte ", offset_ + opcode_at_, ": a global's name has ",
               module.size() + name.size(), " bytes, the limit is ", limits::kMaxNameBytes);
  ELBEAM_CHECK(is_inert_global(module, name), ErrorCode::kUnsupported, where_, ": pickle at byte ",
               offset_ + opcode_at_, ": refers to ", quoted(concat(module, ".", name)),
               ", which no model needs; nothing was executed. The file may be malicious");
  document_.strings_.push_back(concat(module, " ", name));
  Value* value = make(PickleKind::kGlobal);
  value->text = document_.strings_.back();
  push(value);
}

// A call is kept as a record; only dictionaries are what they would have become.
void PickleMachine::reduce(Value* callable, Value* arguments) {
  if (callable->kind != PickleKind::kGlobal) bad("a call of what is not a global");
  if (arguments->kind != PickleKind::kTuple) bad("a call with arguments that are not a tuple");
  if (is_dict_global(callable->text)) {
    Value* value = make(PickleKind::kDict);
    // Python 2 wrote OrderedDict([[key, value], ...]).
    if (arguments->items.size() == 1 && arguments->items[0]->kind == PickleKind::kList) {
      charge(2 * ssize(arguments->items[0]->items.size()));  // the one opcode that copies
      for (const Value* pair : arguments->items[0]->items) {
        const bool is_pair =
            (pair->kind == PickleKind::kList || pair->kind == PickleKind::kTuple) &&
            pair->items.size() == 2;
        if (!is_pair) bad("an OrderedDict of what are not pairs");
        add_pairs(value, pair->items);
      }
    }
    push(value);
    return;
  }
  Value* value = make(PickleKind::kObject);
  value->items = {callable, arguments, none_};
  push(value);
}

void PickleMachine::build(Value* target, Value* state) {
  if (target->kind == PickleKind::kDict)
    return;  // attributes of an OrderedDict (state_dict's _metadata)
  if (target->kind != PickleKind::kObject) bad("a state for what is not an object");
  target->items[2] = state;
}

PickleDocument::PickleDocument(std::span<const std::byte> bytes, const std::string& where,
                               std::int64_t offset) {
  // What lies beyond cannot belong to a pickle that would be accepted.
  PickleMachine(*this, bytes.first(std::min(bytes.size(), usize(limits::kMaxPickleBytes))), where,
                offset)
      .run();
}

}  // namespace elbeam::archive
