// Command asynq runs so many tasks on a server: some are delayed, unique, in another queue, or fail at
// first. In the end all are completed, each done once.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

// work is what was done of each task.
type work struct {
	mu     sync.Mutex
	done   map[uint64]int
	failed map[uint64]bool
}

var errOnce = errors.New("this one fails once")

func (w *work) ProcessTask(_ context.Context, t *asynq.Task) error {
	n := binary.BigEndian.Uint64(t.Payload())
	w.mu.Lock()
	defer w.mu.Unlock()
	if n%100 == 7 && !w.failed[n] {
		w.failed[n] = true
		return errOnce
	}
	w.done[n]++
	return nil
}

func main() {
	addr := os.Args[1]
	tasks, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	if err := run(asynq.RedisClientOpt{Addr: addr}, tasks); err != nil {
		panic(err)
	}
}

func run(opt asynq.RedisClientOpt, tasks int) error {
	w := &work{done: map[uint64]int{}, failed: map[uint64]bool{}}
	srv := asynq.NewServer(opt, asynq.Config{Concurrency: 20, Queues: map[string]int{"default": 2, "low": 1}, LogLevel: asynq.FatalLevel,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second }})
	if err := srv.Start(w); err != nil {
		return err
	}
	defer srv.Shutdown()
	began := time.Now()
	client := asynq.NewClient(opt)
	for i := range tasks {
		options := []asynq.Option{asynq.TaskID(fmt.Sprint("t", i)), asynq.Retention(time.Hour), asynq.MaxRetry(20)}
		if i%10 == 0 {
			options = append(options, asynq.Queue("low"))
		}
		if i%50 == 0 {
			options = append(options, asynq.ProcessIn(2*time.Second))
		}
		if i%33 == 0 {
			options = append(options, asynq.Unique(time.Hour))
		}
		if _, err := client.Enqueue(asynq.NewTask("job", binary.BigEndian.AppendUint64(nil, uint64(i))), options...); err != nil {
			return err
		}
	}
	inspector := asynq.NewInspector(opt)
	completed := 0
	for end := time.Now().Add(2 * time.Minute); completed < tasks && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		completed = 0
		for _, queue := range []string{"default", "low"} {
			info, err := inspector.GetQueueInfo(queue)
			if err != nil {
				return err
			}
			completed += info.Completed
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, times := range w.done {
		if times != 1 {
			return fmt.Errorf("task %d was done %d times", n, times)
		}
	}
	_, err := fmt.Fprintf(os.Stdout, "asynq: %d of %d tasks in %v\n", completed, tasks, time.Since(began).Round(time.Millisecond))
	if completed != tasks || len(w.done) != tasks {
		return fmt.Errorf("%d of %d tasks are completed, %d were done", completed, tasks, len(w.done))
	}
	return err
}
