package main

import (
	"net/url"
	"strings"

	"github.com/writ-run/writ/sdk"
)

// ChannelsIn is the input of list_channels.
type ChannelsIn struct {
	Private bool `json:"private,omitempty" doc:"With the private channels that the app is in"`
	Limit   int  `json:"limit,omitempty" doc:"At most this many, 1 to 1000; 100 if absent"`
}

// Channel is a channel.
type Channel struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Private bool   `json:"private"`
	Member  bool   `json:"member" doc:"Whether the app is in it"`
	Topic   string `json:"topic"`
}

// ChannelsOut is the output of list_channels.
type ChannelsOut struct {
	Channels []Channel `json:"channels"`
	More     bool      `json:"more" doc:"Whether there are more than these"`
}

func listChannels(c *sdk.Context, in ChannelsIn) (ChannelsOut, error) {
	types := "public_channel"
	if in.Private {
		types += ",private_channel"
	}
	channels, more, err := pages(in.Limit, func(at string) ([]Channel, string, error) {
		var page struct {
			cursor
			Channels []struct {
				ID      string `json:"id"`
				Name    string `json:"name"`
				Private bool   `json:"is_private"`
				Member  bool   `json:"is_member"`
				Topic   struct {
					Value string `json:"value"`
				} `json:"topic"`
			} `json:"channels"`
		}
		err := call(c, "conversations.list", cursored(map[string]string{"types": types, "exclude_archived": "true"}, at), &page)
		var out []Channel
		for _, one := range page.Channels {
			out = append(out, Channel{ID: one.ID, Name: one.Name, Private: one.Private, Member: one.Member, Topic: one.Topic.Value})
		}
		return out, page.Meta.Next, err
	})
	return ChannelsOut{Channels: channels, More: more}, err
}

// HistoryIn is the input of history.
type HistoryIn struct {
	Channel string `json:"channel"`
	After   string `json:"after,omitempty" doc:"Only messages after this timestamp"`
	Before  string `json:"before,omitempty" doc:"Only messages before this timestamp"`
	Limit   int    `json:"limit,omitempty" doc:"At most this many, 1 to 1000; 100 if absent"`
}

// ThreadIn is the input of thread.
type ThreadIn struct {
	Channel string `json:"channel"`
	TS      string `json:"ts" doc:"Timestamp of the message that began the thread"`
	Limit   int    `json:"limit,omitempty" doc:"At most this many, 1 to 1000; 100 if absent"`
}

// Said is a message of a channel.
type Said struct {
	TS      string `json:"ts"`
	User    string `json:"user" doc:"Id of who wrote it, empty for some apps"`
	Text    string `json:"text"`
	Thread  string `json:"thread,omitempty" doc:"Timestamp of the thread it belongs to"`
	Replies int    `json:"replies,omitempty"`
}

// HistoryOut is the output of history and thread.
type HistoryOut struct {
	Messages []Said `json:"messages" doc:"As Slack orders them: a channel newest first, a thread oldest first"`
	More     bool   `json:"more" doc:"Whether there are more than these"`
}

func history(c *sdk.Context, in HistoryIn) (HistoryOut, error) {
	for what, ts := range map[string]string{"after": in.After, "before": in.Before} {
		if ts == "" {
			continue
		}
		if err := checked(what, ts, stampPattern); err != nil {
			return HistoryOut{}, err
		}
	}
	return messages(c, "conversations.history", map[string]string{"channel": in.Channel, "oldest": in.After, "latest": in.Before}, in.Limit)
}

func thread(c *sdk.Context, in ThreadIn) (HistoryOut, error) {
	if err := checked("ts", in.TS, stampPattern); err != nil {
		return HistoryOut{}, err
	}
	return messages(c, "conversations.replies", map[string]string{"channel": in.Channel, "ts": in.TS}, in.Limit)
}

func messages(c *sdk.Context, method string, values map[string]string, limit int) (HistoryOut, error) {
	if err := checked("channel", values["channel"], channelPattern); err != nil {
		return HistoryOut{}, err
	}
	said, more, err := pages(limit, func(at string) ([]Said, string, error) {
		var page struct {
			cursor
			Messages []struct {
				TS      string `json:"ts"`
				User    string `json:"user"`
				Text    string `json:"text"`
				Thread  string `json:"thread_ts"`
				Replies int    `json:"reply_count"`
			} `json:"messages"`
		}
		err := call(c, method, cursored(values, at), &page)
		var out []Said
		for _, m := range page.Messages {
			out = append(out, Said{TS: m.TS, User: m.User, Text: m.Text, Thread: m.Thread, Replies: m.Replies})
		}
		return out, page.Meta.Next, err
	})
	return HistoryOut{Messages: said, More: more}, err
}

// EmailIn is the input of find_user.
type EmailIn struct {
	Email string `json:"email"`
}

// UserIn is the input of read_user.
type UserIn struct {
	User string `json:"user" doc:"Id such as U012AB3CD"`
}

// User is a person or an app of the workspace.
type User struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	RealName string `json:"realName"`
	TimeZone string `json:"timeZone"`
	Bot      bool   `json:"bot"`
	Deleted  bool   `json:"deleted"`
}

func findUser(c *sdk.Context, in EmailIn) (User, error) {
	if !strings.Contains(in.Email, "@") || len(in.Email) > 254 {
		return User{}, sdk.Fail("bad_email", "email is no address")
	}
	return user(c, "users.lookupByEmail", url.Values{"email": {in.Email}})
}

func readUser(c *sdk.Context, in UserIn) (User, error) {
	if err := checked("user", in.User, userPattern); err != nil {
		return User{}, err
	}
	return user(c, "users.info", url.Values{"user": {in.User}})
}

func user(c *sdk.Context, method string, query url.Values) (User, error) {
	var found struct {
		User struct {
			ID       string `json:"id"`
			Name     string `json:"name"`
			RealName string `json:"real_name"`
			TimeZone string `json:"tz"`
			Bot      bool   `json:"is_bot"`
			Deleted  bool   `json:"deleted"`
		} `json:"user"`
	}
	err := call(c, method, query, &found)
	return User(found.User), err
}

var (
	_ = sdk.Action("post", post)
	_ = sdk.Action("reply", reply)
	_ = sdk.Action("update", update)
	_ = sdk.Action("react", react)
	_ = sdk.Action("list_channels", listChannels)
	_ = sdk.Action("history", history)
	_ = sdk.Action("thread", thread)
	_ = sdk.Action("find_user", findUser)
	_ = sdk.Action("read_user", readUser)
)
