// SPDX-License-Identifier: BSD-2-Clause

// client asks an LLM with net/http over crypto/tls and prints what it saw. On stdout JSON lines: ready; one for each
// request when its reply is read; done. It stands before each -gate N (that many requests made) until a line comes on
// stdin, and before its end until stdin closes.
//
// With -churn it makes garbage, deep stacks and goroutines meanwhile, until stdin closes; then done says how many requests
// went well.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	url     = flag.String("url", "", "of the API, without a path")
	ca      = flag.String("ca", "", "file of the certificate authority")
	n       = flag.Int("n", 10, "requests")
	atOnce  = flag.Int("at-once", 1, "requests in flight")
	stream  = flag.Bool("stream", false, "ask for streams")
	gate    = flag.Int("gate", -1, "stand there after so many requests")
	wrapped = flag.Bool("wrapped", false, "let TLS speak through a connection of our own type")
	churn   = flag.Int("churn", 0, "goroutines that churn")
)

var (
	out   sync.Mutex
	stdin = bufio.NewReader(os.Stdin)
)

func say(fields map[string]any) {
	line, _ := json.Marshal(fields)
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

// slow is a net.Conn of our own: nothing tells where its descriptor is.
type slow struct {
	name string
	net.Conn
}

func client() (*http.Client, error) {
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: *atOnce}
	if *wrapped {
		t.Dial = func(network, address string) (net.Conn, error) {
			c, err := net.Dial(network, address)
			return &slow{address, c}, err
		}
	}
	return &http.Client{Transport: t}, nil
}

type reply struct {
	Usage struct {
		In  int `json:"prompt_tokens"`
		Out int `json:"completion_tokens"`
	} `json:"usage"`
}

// read gives the last usage that the reply tells.
func read(body io.Reader) (r reply, err error) {
	if !*stream {
		return r, json.NewDecoder(body).Decode(&r)
	}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "data: ")
		if strings.HasPrefix(line, "{") && strings.Contains(line, `"usage"`) {
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				return r, err
			}
		}
	}
	return r, lines.Err()
}

// grow uses a kilobyte of stack in each of its frames.
func grow(depth int) int {
	var room [1024]byte
	if depth == 0 {
		return int(room[0])
	}
	room[depth%1024] = byte(depth)
	return grow(depth-1) + int(room[(depth+1)%1024])
}

func ask(c *http.Client, i int) error {
	words := strings.Repeat("word ", 5+i%17)
	body, _ := json.Marshal(map[string]any{
		"model": "gpt-4o-mini", "stream": *stream, "stream_options": map[string]any{"include_usage": true},
		"messages": []map[string]string{{"role": "user", "content": words}},
	})
	request, err := http.NewRequest("POST", *url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Request-Id", fmt.Sprint("go-", i))
	start := time.Now()
	response, err := c.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	r, err := read(response.Body)
	if err != nil {
		return err
	}
	io.Copy(io.Discard, response.Body)
	if *churn == 0 {
		say(map[string]any{"event": "call", "id": fmt.Sprint("go-", i), "ms": float64(time.Since(start)) / 1e6,
			"tokens_in": r.Usage.In, "tokens_out": r.Usage.Out, "status": response.StatusCode})
	}
	return nil
}

// some makes requests from..to, as many at once as are asked for.
func some(c *http.Client, from, to int) {
	var wg sync.WaitGroup
	next := int64(from) - 1
	for k := 0; k < *atOnce; k++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := atomic.AddInt64(&next, 1); i < int64(to); i = atomic.AddInt64(&next, 1) {
				if err := ask(c, int(i)); err != nil {
					say(map[string]any{"event": "error", "id": fmt.Sprint("go-", i), "error": err.Error()})
				}
			}
		}()
	}
	wg.Wait()
}

// churns until stdin closes: each goroutine asks, grows its stack, lets it shrink, makes garbage.
func churns(c *http.Client) {
	var good, bad, ended int64
	var wg sync.WaitGroup
	asking := make(chan struct{}, *atOnce)
	for k := 0; k < *churn; k++ {
		wg.Add(1)
		go func(k int) {
			defer wg.Done()
			for i := k; atomic.LoadInt64(&ended) == 0; i++ {
				asking <- struct{}{}
				done := make(chan error)
				go func() { // new stacks are small: reading and writing have to grow them
					done <- ask(c, i)
				}()
				err := <-done
				<-asking
				if err != nil {
					say(map[string]any{"event": "error", "error": err.Error()})
					atomic.AddInt64(&bad, 1)
				} else if atomic.AddInt64(&good, 1)%100 == 0 {
					say(map[string]any{"event": "went", "good": atomic.LoadInt64(&good)})
				}
				grow(1 + i%64)
				_ = make([]byte, 1<<16)
				runtime.Gosched()
			}
		}(k)
	}
	go func() {
		for atomic.LoadInt64(&ended) == 0 {
			runtime.GC()
			time.Sleep(time.Millisecond) // so that the others run, too
		}
	}()
	io.Copy(io.Discard, stdin)
	atomic.StoreInt64(&ended, 1)
	wg.Wait()
	say(map[string]any{"event": "done", "good": good, "bad": bad})
}

func main() {
	flag.Parse()
	c, err := client()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	say(map[string]any{"event": "ready", "pid": os.Getpid(), "go": runtime.Version()})
	if *churn > 0 {
		churns(c)
		return
	}
	some(c, 0, max(*gate, 0))
	if *gate >= 0 {
		say(map[string]any{"event": "gate"})
		stdin.ReadString('\n')
	}
	some(c, max(*gate, 0), *n)
	say(map[string]any{"event": "done"})
	io.Copy(io.Discard, stdin)
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}
