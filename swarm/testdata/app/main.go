// Command app is the service that the tests of package swarm deploy. Its
// environment says how it behaves:
//
//	MODE=serve       answer HTTP on :8080 until told to stop (the default)
//	MODE=stubborn    the same, but ignore SIGTERM
//	MODE=crash       print a line, and exit 7 after CRASH_AFTER (default 100ms)
//	MODE=done        exit 0 after CRASH_AFTER
//	MODE=greedy      take memory until the kernel says no
//	HEALTH=never     answer health checks with 500 and "database not ready"
//
// "app -health" is its health check.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-health" {
		os.Exit(health())
	}
	switch mode := os.Getenv("MODE"); mode {
	case "crash", "done":
		after, err := time.ParseDuration(os.Getenv("CRASH_AFTER"))
		if err != nil {
			after = 100 * time.Millisecond
		}
		fmt.Println("about to", mode)
		<-time.After(after)
		if mode == "crash" {
			fmt.Fprintln(os.Stderr, "no database at db:5432")
			os.Exit(7)
		}
	case "greedy":
		var held [][]byte
		for {
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = 1
			}
			held = append(held, block)
		}
	default:
		serve(mode == "stubborn")
	}
}

func serve(stubborn bool) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && os.Getenv("HEALTH") == "never" {
			http.Error(w, "database not ready", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "hello from", os.Getenv("HOSTNAME"))
	})
	go func() {
		fmt.Println("listening")
		fmt.Println(http.ListenAndServe(":8080", nil))
		os.Exit(1)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	for range signals {
		if !stubborn {
			return
		}
	}
}

func health() int {
	answer, err := http.Get("http://127.0.0.1:8080/health")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	fmt.Print(string(text))
	if answer.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}
