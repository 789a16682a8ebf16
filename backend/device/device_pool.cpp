#include "device/device_pool.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace elbeam::device {
namespace {

class DevicePool : public DeviceModel {
 public:
  explicit DevicePool(std::vector<std::unique_ptr<DeviceModel>> models)
      : models_(std::move(models)) {
    ELBEAM_INVARIANT(!models_.empty());
    for (const auto& model : models_) free_.push_back(model.get());
  }

  const std::string& architecture() const override { return first().architecture(); }
  std::int64_t source_vocab_size() const override { return first().source_vocab_size(); }
  std::int64_t vocab_size() const override { return first().vocab_size(); }
  std::int64_t max_decoder_positions() const override { return first().max_decoder_positions(); }
  std::int64_t max_source_positions() const override { return first().max_source_positions(); }
  bool has_encoder() const override { return first().has_encoder(); }
  const Device& device() const override { return first().device(); }
  bool decodes(const search::DecodeRequest& request) const override {
    return first().decodes(request);
  }
  attention::BatchMemory plan_memory(std::span<const std::int64_t> source_lengths,
                                     std::int64_t beam, std::int64_t steps) const override {
    return first().plan_memory(source_lengths, beam, steps);
  }
  // Of the device that took the most.
  model::CacheReport cache_report() const override {
    model::CacheReport most = first().cache_report();
    for (const auto& model : models_) {
      const model::CacheReport report = model->cache_report();
      if (report.cross_bytes + report.self_bytes > most.cross_bytes + most.self_bytes)
        most = report;
    }
    return most;
  }

  search::DecodeResult decode(const search::DecodeRequest& request) override {
    const Lease lease(*this);
    return lease.model().decode(request);
  }

  std::unique_ptr<DecodeState> start(const SourceBatch& batch, const DecodeShape& shape) override {
    return std::make_unique<LeasedState>(std::make_unique<Lease>(*this), batch, shape);
  }

 private:
  // Has one of the models until it goes.
  class Lease {
   public:
    explicit Lease(DevicePool& pool) : pool_(pool), model_(pool.take()) {}
    ~Lease() { pool_.give_back(model_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    DeviceModel& model() const noexcept { return *model_; }

   private:
    DevicePool& pool_;
    DeviceModel* model_;
  };

  class LeasedState : public DecodeState {
   public:
    LeasedState(std::unique_ptr<Lease> lease, const SourceBatch& batch, const DecodeShape& shape)
        : lease_(std::move(lease)), state_(lease_->model().start(batch, shape)) {}
    void step(const StepInput& input, const StepOutput& output) override {
      state_->step(input, output);
    }
    bool force(const ForcedInput& input, const ForcedOutput& output) override {
      return state_->force(input, output);
    }

   private:
    std::unique_ptr<Lease> lease_;  // goes after the state
    std::unique_ptr<DecodeState> state_;
  };

  const DeviceModel& first() const noexcept { return *models_.front(); }
  DeviceModel* take() {
    std::unique_lock<std::mutex> lock(mutex_);
    given_back_.wait(lock, [this] { return !free_.empty(); });
    DeviceModel* const model = free_.back();
    free_.pop_back();
    return model;
  }
  void give_back(DeviceModel* model) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      free_.insert(free_.begin(), model);  // the one that has rested longest is taken next
    }
    given_back_.notify_one();
  }

  std::vector<std::unique_ptr<DeviceModel>> models_;
  std::mutex mutex_;  // guards free_
  std::condition_variable given_back_;
  std::vector<DeviceModel*> free_;
};

}  // namespace

std::unique_ptr<DeviceModel> make_device_pool(std::vector<std::unique_ptr<DeviceModel>> models) {
  return std::make_unique<DevicePool>(std::move(models));
}

}  // namespace elbeam::device
