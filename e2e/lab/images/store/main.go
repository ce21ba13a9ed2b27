// Command store is the storing half of the example recipe: a counter in a file
// below /data that outlives the program.
//
// `store serve` answers on :7000: POST /count adds one, GET /count only reads,
// both answer with the number. `store health` exits 0 when that works, 1 when
// not.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const file = "/data/count"

func main() {
	log.SetFlags(0)
	command := "serve"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "serve":
		serve()
	case "health":
		health()
	default:
		log.Fatalf("store: no command %q; there are serve and health", command)
	}
}

func serve() {
	var mu sync.Mutex
	count := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n, err := read()
		if err == nil && r.Method == http.MethodPost {
			n++
			err = os.WriteFile(file, []byte(strconv.Itoa(n)), 0o644)
		}
		if err != nil {
			log.Print("store: ", err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, n)
	}
	http.HandleFunc("GET /count", count)
	http.HandleFunc("POST /count", count)
	log.Print("store: listening on :7000")
	log.Fatal(http.ListenAndServe(":7000", nil))
}

func read() (int, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func health() {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get("http://127.0.0.1:7000/count")
	if err != nil {
		log.Fatal("store: ", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		log.Fatal("store: ", resp.Status)
	}
}
