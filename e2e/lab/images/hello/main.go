// Command hello is the web half of the example recipe.
//
// `hello serve` answers on :8080. GET / greets with the first line of
// /etc/hello.conf, says whether the secret /run/secrets/api_key is there and
// counts the visit with the store at STORE_URL; GET /healthz says ok when the
// store answers. `hello health` exits 0 when /healthz does, 1 when not.
//
// For tests of what goes wrong, HELLO_FAIL chooses a failure of serve: `crash`
// exits with 1 after half a second, `unhealthy` never gets healthy.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

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
		log.Fatalf("hello: no command %q; there are serve and health", command)
	}
}

var client = http.Client{Timeout: 2 * time.Second}

func serve() {
	switch os.Getenv("HELLO_FAIL") {
	case "crash":
		time.AfterFunc(500*time.Millisecond, func() { log.Fatal("hello: crashing, as HELLO_FAIL asks for") })
	case "unhealthy":
		http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "unhealthy, as HELLO_FAIL asks for", http.StatusServiceUnavailable)
		})
		listen()
	}
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := count(http.MethodGet); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	http.HandleFunc("GET /{$}", greet)
	listen()
}

func listen() {
	log.Print("hello: listening on :8080")
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func greet(w http.ResponseWriter, _ *http.Request) {
	greeting := "Hello"
	if b, err := os.ReadFile("/etc/hello.conf"); err == nil {
		greeting, _, _ = strings.Cut(strings.TrimSpace(string(b)), "\n")
	}
	secret := "absent"
	if b, err := os.ReadFile("/run/secrets/api_key"); err == nil && len(b) > 0 {
		secret = "present"
	}
	visits, err := count(http.MethodPost)
	if err != nil {
		log.Print("hello: ", err)
		http.Error(w, "the store does not answer", http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "%s\nsecret: %s\nvisits: %s\n", greeting, secret, visits)
}

// count asks the store for the number of visits, after adding one with POST.
// Without a store there is nothing to count.
func count(method string) (string, error) {
	store := os.Getenv("STORE_URL")
	if store == "" {
		return "not counted", nil
	}
	req, err := http.NewRequest(method, strings.TrimSuffix(store, "/")+"/count", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the store answers %s", resp.Status)
	}
	return strings.TrimSpace(string(b)), err
}

func health() {
	resp, err := client.Get("http://127.0.0.1:8080/healthz")
	if err != nil {
		log.Fatal("hello: ", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		log.Fatal("hello: ", resp.Status)
	}
}
