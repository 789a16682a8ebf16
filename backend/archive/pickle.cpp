#include "archive/pickle.hpp"

#include "archive/byte_reader.hpp"
#include "archive/pickle_globals.hpp"
#include "base/limits.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <deque>
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
      : document_(document),
        where_(where),
        offset_(offset),
        bytes_(bytes),
        reader_(bytes, where_, 0, offset) {
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
  bool push(Value* value) {  // true, which is what the handler of an opcode returns
    charge(1);
    stack_.push_back(value);
    return true;
  }
  void charge(std::int64_t references) {
    pushes_ += references;
    ELBEAM_CHECK(pushes_ <= limits::kMaxPicklePushes, ErrorCode::kLimit, where_,
                 ": pickle: more than ", limits::kMaxPicklePushes, " references");
  }
  bool push_int(std::int64_t integer) {
    Value* value = make(PickleKind::kInt);
    value->integer = integer;
    return push(value);
  }
  bool push_text(std::string_view view) {
    Value* value = make(PickleKind::kText);
    value->text = view;
    return push(value);
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
  std::size_t mark() const {
    if (marks_.empty()) bad("no mark on the stack");
    return marks_.back();
  }
  // Everything above the last mark moves to the end of `items`, or away if there are none.
  void pop_mark(std::vector<const Value*>* items) {
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(mark());
    if (items != nullptr) items->insert(items->end(), begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
  }
  // What the opcodes that take a mark add to: it lies below the mark.
  Value* below_mark() const {
    const std::size_t floor = marks_.size() > 1 ? marks_[marks_.size() - 2] : 0;
    if (mark() == floor) bad("the stack is empty");
    return stack_[mark() - 1];
  }
  void check_pairs() const {
    if ((stack_.size() - mark()) % 2 != 0) bad("a key without a value");
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
  bool push_long(std::int64_t count) {
    const std::string_view bytes = reader_.text(count, "an integer");
    if (count > 8) return push_text(bytes);
    std::uint64_t value = count > 0 && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;)
      value = (value << 8) | static_cast<unsigned char>(bytes[i]);
    return push_int(static_cast<std::int64_t>(value));
  }

  bool number(std::uint8_t opcode);
  bool text(std::uint8_t opcode);
  bool container(std::uint8_t opcode);
  bool stack_or_memo(std::uint8_t opcode);
  bool object(std::uint8_t opcode);
  std::vector<const Value*>* items_of(Value* target, PickleKind kind) const;
  void push_global(std::string_view module, std::string_view name);
  void reduce(Value* callable, Value* arguments);
  void build(Value* target, Value* state);
  // Every writer counts its memo from 0, so an array serves; a hash table could be filled with keys
  // that collide.
  void remember(std::int64_t index) {
    ELBEAM_CHECK(index >= 0 && index < limits::kMaxPickleObjects, ErrorCode::kLimit, where_,
                 ": pickle at byte ", offset_ + opcode_at_, ": memo ", index,
                 ", expected less than ", limits::kMaxPickleObjects);
    if (index >= ssize(memo_.size())) memo_.resize(usize(index) + 1);
    memo_[usize(index)] = top();
  }
  void recall(std::int64_t index) {
    if (index < 0 || index >= ssize(memo_.size()) || memo_[usize(index)] == nullptr)
      bad("memo ", index, " was never written");
    push(memo_[usize(index)]);
  }

  PickleDocument& document_;
  const std::string& where_;
  std::int64_t offset_;
  std::span<const std::byte> bytes_;
  ByteReader reader_;
  std::int64_t opcode_at_ = 0;
  std::int64_t pushes_ = 0;
  Value *none_, *true_, *false_, *empty_;
  std::deque<Value*> stack_;  // these two grow without a second copy of themselves
  std::deque<Value*> memo_;
  std::vector<std::size_t> marks_;
};

bool PickleMachine::number(std::uint8_t opcode) {
  switch (opcode) {
    case 'K':
      return push_int(reader_.read<std::uint8_t>("an integer"));
    case 'M':
      return push_int(reader_.read<std::uint16_t>("an integer"));
    case 'J':
      return push_int(reader_.read<std::int32_t>("an integer"));
    case 0x8a:
      return push_long(reader_.read<std::uint8_t>("an integer's size"));
    case 0x8b:
      return push_long(reader_.read<std::int32_t>("an integer's size"));
    case 'I': {
      const std::string_view digits = line();
      if (digits == "00" || digits == "01") return push(digits == "01" ? true_ : false_);
      return push_int(parse_integer(digits));
    }
    case 'L':
      return push_int(parse_integer(line()));
    case 'G': {  // the one big-endian number
      std::uint64_t bits = 0;
      for (int i = 0; i < 8; ++i) bits = (bits << 8) | reader_.read<std::uint8_t>("a float");
      Value* value = make(PickleKind::kFloat);
      value->integer = static_cast<std::int64_t>(bits);
      return push(value);
    }
    case 'F': {
      const std::string_view digits = line();
      Value* value = make(PickleKind::kFloat);
      double real = 0.0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), real);
      value->integer = std::bit_cast<std::int64_t>(real);
      if (error != std::errc() || end != digits.data() + digits.size())
        bad("bad float ", quoted(digits));
      return push(value);
    }
    case 'N':
      return push(none_);
    case 0x88:
      return push(true_);
    case 0x89:
      return push(false_);
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
      return push_text(reader_.text(reader_.read<std::uint8_t>(what), what));
    case 'T':
      return push_text(reader_.text(reader_.read<std::int32_t>(what), what));
    case 'X':
    case 'B':
      return push_text(reader_.text(reader_.read<std::uint32_t>(what), what));
    case 0x8d:
    case 0x8e:
    case 0x96:
      return push_text(reader_.text(reader_.read_size(what), what));
    case 'V':
      return push_text(line());
    case 'S': {
      const std::string_view quoted_text = line();
      if (quoted_text.size() < 2) bad("a string without quotes");
      return push_text(quoted_text.substr(1, quoted_text.size() - 2));
    }
    default:
      return false;
  }
}

// Where a list or a dict keeps its items; nullptr for an object of a class derived from them, whose
// items nothing reads.
std::vector<const PickleValue*>* PickleMachine::items_of(Value* target, PickleKind kind) const {
  if (target->kind == PickleKind::kObject) return nullptr;
  if (target->kind != kind) {
    bad(kind == PickleKind::kList ? "appending to what is not a list"
                                  : "setting an item of what is not a dict");
  }
  return &target->items;
}

bool PickleMachine::container(std::uint8_t opcode) {
  const auto push_marked = [&](PickleKind kind) {
    Value* value = make(kind);
    pop_mark(&value->items);
    return push(value);
  };
  switch (opcode) {
    case ']':
    case 0x8f:
      return push(make(PickleKind::kList));
    case '}':
      return push(make(PickleKind::kDict));
    case ')':
      return push(empty_);
    case 'l':
    case 0x91:  // frozenset
      return push_marked(PickleKind::kList);
    case 't':
      return push_marked(PickleKind::kTuple);
    case 'd':
      check_pairs();
      return push_marked(PickleKind::kDict);
    case 0x85:
    case 0x86:
    case 0x87: {
      Value* value = make(PickleKind::kTuple);
      value->items.resize(static_cast<std::size_t>(opcode - 0x84));
      for (std::size_t i = value->items.size(); i-- > 0;) value->items[i] = pop();
      return push(value);
    }
    case 'a': {
      const Value* item = pop();
      if (auto* items = items_of(top(), PickleKind::kList)) items->push_back(item);
      return true;
    }
    case 'e':
    case 0x90:
      pop_mark(items_of(below_mark(), PickleKind::kList));
      return true;
    case 's': {
      const Value* item = pop();
      const Value* key = pop();
      if (auto* items = items_of(top(), PickleKind::kDict)) {
        items->push_back(key);
        items->push_back(item);
      }
      return true;
    }
    case 'u':
      check_pairs();
      pop_mark(items_of(below_mark(), PickleKind::kDict));
      return true;
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
      pop_mark(nullptr);
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
    case 'i': {  // makes an instance in one step: refused, and the message says of what
      const std::string_view module = line();
      push_global(module, line());
      bad("an instance as protocol 0 writes it");
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

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  // Names are copied below: once each, and not every pair of a thousand long ones.
  ELBEAM_CHECK(module.size() + name.size() <= usize(limits::kMaxNameBytes), ErrorCode::kLimit,
               where_, ": pickle at byte ", offset_ + opcode_at_, ": a global's name has ",
               module.size() + name.size(), " bytes, the limit is ", limits::kMaxNameBytes);
  ELBEAM_CHECK(is_inert_global(module, name), ErrorCode::kUnsupported, where_, ": pickle at byte ",
               offset_ + opcode_at_, ": refers to ", quoted(concat(module, ".", name)),
               ", which no model needs; nothing was executed. The file may be malicious");
  const auto [it, fresh] = document_.globals_.try_emplace(concat(module, " ", name), nullptr);
  if (fresh) {
    ELBEAM_CHECK(ssize(document_.globals_.size()) <= limits::kMaxPickleGlobals, ErrorCode::kLimit,
                 where_, ": pickle: more than ", limits::kMaxPickleGlobals, " different globals");
    it->second = make(PickleKind::kGlobal);
    it->second->text = it->first;
  }
  push(it->second);
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
        value->items.insert(value->items.end(), pair->items.begin(), pair->items.end());
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
