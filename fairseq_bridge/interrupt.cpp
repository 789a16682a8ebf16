#include "fairseq_bridge/interrupt.hpp"

#include <elbeam/generator.hpp>

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace elbeam::fairseq {
namespace {

std::atomic<int> g_signal{0};
std::atomic<bool> g_decoding{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "they are used in a signal handler");

extern "C" void on_interrupt(int signal) {
  const int before = g_signal.exchange(signal);
  if (before != 0 || !g_decoding.load()) _exit(128 + signal);
  request_cancellation();
}

}  // namespace

void install_interrupt_handlers() noexcept {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int interrupting_signal() noexcept { return g_signal.load(); }

DecodingScope::DecodingScope() noexcept { g_decoding.store(true); }
DecodingScope::~DecodingScope() { g_decoding.store(false); }

}  // namespace elbeam::fairseq
