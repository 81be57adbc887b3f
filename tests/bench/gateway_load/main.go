// gateway-load is both ends of the gateway's benchmark: `mock` answers as a model's server does, `load` asks and measures.
// Each is one thread on epoll, so that the two together take less of a core than any gateway between them.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

func main() {
	runtime.LockOSThread()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gateway-load:", err)
		os.Exit(1)
	}
}

func run(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("say `mock` or `load`")
	}
	flags := flag.NewFlagSet(words[0], flag.ExitOnError)
	switch words[0] {
	case "mock":
		address := flags.String("address", "127.0.0.1:0", "where to listen")
		_ = flags.Parse(words[1:])
		return mock(*address)
	case "load":
		return loadCommand(flags, words[1:])
	}
	return fmt.Errorf("%q is neither `mock` nor `load`", words[0])
}

func loadCommand(flags *flag.FlagSet, words []string) error {
	var plan plan
	flags.StringVar(&plan.address, "address", "", "ip:port to ask")
	flags.StringVar(&plan.path, "path", "/v1/chat/completions", "path of each request")
	flags.StringVar(&plan.key, "key", "", "bearer key; none where empty")
	flags.StringVar(&plan.model, "model", "m0", "model in the body; `%d` in it counts up to -models")
	flags.IntVar(&plan.models, "models", 1, "how many models to ask in turn")
	flags.IntVar(&plan.body, "body", 1024, "bytes of the request's body")
	flags.IntVar(&plan.delay, "delay", 0, "milliseconds that the mock waits before it answers")
	flags.IntVar(&plan.atOnce, "at-once", 1, "connections")
	flags.Float64Var(&plan.rate, "rate", 0, "requests per second whatever is answered; 0: each connection asks again at once")
	flags.IntVar(&plan.streams, "streams", 0, "so many streams in place of plain answers")
	flags.DurationVar(&plan.warm, "warm", 200*time.Millisecond, "time before anything is counted")
	flags.DurationVar(&plan.duration, "duration", time.Second, "time that is counted")
	flags.DurationVar(&plan.patience, "patience", 10*time.Second, "longest wait for what is under way at the end")
	_ = flags.Parse(words)
	debug.SetGCPercent(-1) // a collection would stand in the figures; the limit bounds what a run may take
	debug.SetMemoryLimit(2 << 30)
	result, err := load(plan)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
