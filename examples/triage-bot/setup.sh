#!/bin/sh
# Sets the triage bot up in the home of $WRIT_HOME, which `writ init` has made: two skills,
# an agent with what it may do, a second person who approves, and both channels. Read it
# before you run it; run it again after a change of what is below.
set -eu

# What differs from one team to another.
: "${SECRETS:?a directory with the files github-webhook, github-token, slack-signing and slack-bot}"
: "${GITHUB_BOB:?number of the GitHub account of bob: https://api.github.com/users/LOGIN has it as id}"
: "${SLACK_ROOM:?TEAM/CHANNEL in Slack where people are asked, such as T0123ABCD/C0456EFGH}"
: "${SLACK_ADA:?TEAM/USER in Slack of ada, the operator of this home}"
: "${SLACK_BOB:?TEAM/USER in Slack of bob}"
here=$(cd "$(dirname "$0")" && pwd)

# Skills: those that the binary carries, signed with its key. With SKILLS and PUBLISHER
# they are files, signed with another.
if [ -n "${PUBLISHER:-}" ]; then
	writ trust add writ --key "$PUBLISHER"
else
	writ trust add writ --first-party
fi
# shellcheck disable=SC2086 # several words are meant
writ skill install ${SKILLS:-writ/text writ/github}

# Secrets, each from a file. The token of GitHub is the skill's and the channel's: the host
# adds it on the way out, and no skill ever holds it.
writ secret set github-webhook <"$SECRETS/github-webhook"
writ secret set github-token <"$SECRETS/github-token"
writ secret set slack-signing <"$SECRETS/slack-signing"
writ secret set slack-bot <"$SECRETS/slack-bot"

# The agent in whose name issues are triaged, and who approves beside ada. A token makes a
# principal; these two come in by channels alone, so nobody sees theirs. All three may have
# labels and comments written, each of which a person approves. The issue is named by what
# came in, so the grants are for any; of which repositories, the token at GitHub says. A home
# that has the agent's grant has all of it.
if ! writ grant list -o json | grep -q '"agent:triage-bot"'; then
	writ token create --kind agent --name triage-bot >/dev/null
	writ token create --principal human:bob --role approver \
		--capability control-plane.core --capability control-plane.approval >/dev/null
	for who in agent:triage-bot human:ada human:bob; do
		writ grant create --principal "$who" --skill writ/github --tool http.request \
			--host api.github.com --method POST --path '/repos/*/*/issues/**' --max-risk medium
	done
fi

# GitHub: whoever opens an issue acts as the agent, and so approves nothing. bob does.
writ channel add github/acme --secret github-webhook --token github-token \
	--member '*=agent:triage-bot' --member "$GITHUB_BOB=human:bob" \
	--on "issues.opened=$here/triage.yaml" --answer issues.opened --decide

# Slack: every approval is asked about in one room, and decided there. /triage says in words
# what an issue with these words would be.
writ channel add slack/acme --secret slack-signing --token slack-bot \
	--member "$SLACK_ADA=human:ada" --member "$SLACK_BOB=human:bob" \
	--on "command.triage=$here/classify.yaml" --answer command.triage --decide --ask-in "$SLACK_ROOM"
