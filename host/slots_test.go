package host

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/writ-run/writ"
	"github.com/writ-run/writ/abi"
	. "github.com/writ-run/writ/host/wasmtest"
)

// A guest in a tool call holds no slot: with one slot, a call can wait for
// another run.
func TestSlotIsFreeDuringACall(t *testing.T) {
	for name, open := range sandboxes {
		t.Run(name, func(t *testing.T) {
			s := opened(t, open, Options{Slots: 1})
			run := runOf(t, ToolCaller(abi.ToolKVGet), `{}`)
			run.Gate = &gate{answer: func(context.Context, string, []byte) (*writ.ToolReply, error) {
				wants(t, s, runOf(t, Echo(), `"inner"`), `"inner"`)
				return &writ.ToolReply{Body: []byte(`"outer"`)}, nil
			}}
			wants(t, s, run, `"outer"`)
		})
	}
}

func TestManyAtOnceShareNothing(t *testing.T) {
	g := NewGuest(1, 0)
	tool := g.Tool(abi.ToolKVGet)
	seen := g.Global(0)
	module := g.Run(GetGlobal(seen), I64(1), Op(I64Add), SetGlobal(seen),
		GetGlobal(seen), I64(1), Op(0x52), If(Op(Unreachable)), g.CallTool(tool)).Bytes()
	onEach(t, func(t *testing.T, s writ.Sandbox) {
		var wg sync.WaitGroup
		failed := make(chan error, 50)
		for i := range 50 {
			run := runOf(t, module, fmt.Sprintf(`{"n":%d}`, i))
			run.Gate = &gate{answer: func(_ context.Context, _ string, args []byte) (*writ.ToolReply, error) {
				return &writ.ToolReply{Body: args}, nil
			}}
			wg.Go(func() {
				result, err := s.Run(context.Background(), run)
				if err == nil && string(result.Output) != string(run.Input) {
					err = errors.New(string(result.Output))
				}
				failed <- err
			})
		}
		wg.Wait()
		close(failed)
		for err := range failed {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Slots go to those who wait in the order in which they came.
func TestSlotsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		free := make(slots, 1)
		first := &guest{slots: free}
		first.resume(ctx)
		order := make(chan int, 5)
		for i := range cap(order) {
			go func() {
				g := &guest{slots: free}
				g.resume(ctx)
				order <- i
				g.yield()
			}()
			synctest.Wait() // it stands in the queue
		}
		first.yield()
		synctest.Wait()
		close(order)
		want := 0
		for got := range order {
			if got != want {
				t.Fatalf("%d came before %d", got, want)
			}
			want++
		}
	})
}

func TestWaitingForASlotEndsWithTheContext(t *testing.T) {
	free := make(slots, 1)
	(&guest{slots: free}).resume(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g := &guest{slots: free}
	if g.resume(ctx) {
		t.Fatal("it got a slot that another has")
	}
	g.yield() // gives back nothing
	if len(free) != 1 {
		t.Fatalf("%d slots are held", len(free))
	}
}

// printing is a guest that can print "begun", with the code that does.
func printing() (*Guest, []byte) {
	g := NewGuest(1, 1)
	write := g.Import(abi.ModuleWASI, "fd_write", "iiii", "i")
	g.Data(0, []byte{16, 0, 0, 0, 6, 0, 0, 0}).Data(16, []byte("begun\n"))
	return g, Code(I32(1), I32(0), I32(1), I32(8), Call(write), Op(Drop))
}

// While every slot spins, the host's own goroutines run and its collector comes
// to an end; a spinner ends when its caller says so.
func TestSpinnersDoNotStallTheHost(t *testing.T) {
	g, print := printing()
	spinner := g.Run(print, Repeat(Branch(0)), I32(0)).Bytes()
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			begun := make(chan string, 2)
			s := opened(t, open, Options{Slots: 2, GuestOutput: func(l GuestLine) { begun <- l.Text }})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan error, 2)
			for range 2 {
				run := runOf(t, spinner, `{}`)
				run.Limits.Time = MaxTime
				go func() {
					_, err := s.Run(ctx, run)
					ended <- err
				}()
			}
			for range 2 {
				if line := <-begun; line != "begun" {
					t.Fatalf("it said %q", line)
				}
			}
			balls := make(chan int)
			go func() {
				for ball := range balls {
					balls <- ball + 1
				}
			}()
			for i := range 1000 {
				balls <- i
				if <-balls != i+1 {
					t.Fatal("the other goroutine answers wrongly")
				}
			}
			close(balls)
			runtime.GC()
			if len(ended) > 0 {
				t.Fatalf("a spinner has ended: %v", <-ended)
			}
			cancel()
			for range 2 {
				if err := <-ended; writ.CodeOf(err) != writ.CodeCancelled {
					t.Fatalf("got %v", err)
				}
			}
			wants(t, s, runOf(t, Echo(), `"next"`), `"next"`)
		})
	}
}

// As many guests execute at once as there are slots, and no more, however many are
// asked for. What a guest prints is heard while it executes.
func TestRunningGuestsAreCapped(t *testing.T) {
	const width, runs = 3, 12
	g, begun := printing()
	module := g.Run(begun, g.Say(`1`)).Bytes()
	for lane, open := range sandboxes {
		t.Run(lane, func(t *testing.T) {
			var mu sync.Mutex
			inside, most, full := 0, 0, make(chan struct{})
			hear := func(GuestLine) {
				mu.Lock()
				inside++
				most = max(most, inside)
				wait := full
				if inside == width { // the last of this round lets all go on
					inside, full = 0, make(chan struct{})
					close(wait)
				}
				mu.Unlock()
				<-wait
			}
			s := opened(t, open, Options{Slots: width, GuestOutput: hear})
			var wg sync.WaitGroup
			for range runs {
				wg.Go(func() { wants(t, s, runOf(t, module, `{}`), `1`) })
			}
			wg.Wait()
			if most != width || inside != 0 {
				t.Fatalf("%d at once, %d left", most, inside)
			}
		})
	}
}
