"""Who says what, in the layouts that there are."""

import pytest

from goodgrain.data.instructions.layouts import Layout, Unusable, find_layout, normal, request_of
from goodgrain.errors import InputError


def test_columns_tell_the_layout():
    assert find_layout(["instruction", "input", "output"]) == Layout("alpaca", "instruction", "output", "input")
    assert find_layout(["instruction", "output"]) == Layout("alpaca", "instruction", "output", "input")
    assert find_layout(["messages", "prompt"]) == Layout("chat", "messages")
    assert find_layout(["conversations", "id"]) == Layout("chat", "conversations")
    assert find_layout(["prompt", "completion"]) == Layout("pair", "prompt", "completion")
    assert find_layout(["a", "b", "output"], request="a", response="b") == Layout("pair", "a", "b")
    assert find_layout(["ask", "output"], request="ask") == Layout("pair", "ask", "output")


def test_a_layout_that_nobody_knows_names_what_came():
    with pytest.raises(InputError, match=r"Its columns: text, title. Name two with request and response."):
        find_layout(["title", "text"])
    with pytest.raises(InputError, match=r"there is no column 'ask' in the data. Its columns: prompt, response."):
        find_layout(["prompt", "response"], request="ask")


def chat(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_chats():
    layout = Layout("chat", "messages")
    turns = layout.turns(chat(("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello."), ("user", "?")))
    assert turns == [("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello.")]
    assert request_of(turns) == "system: Be brief.\n\nuser: Hi."
    share = {"messages": [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]}
    assert layout.turns(share) == [("user", "Hi."), ("assistant", "Hello.")]
    assert request_of(layout.turns(share)) == "Hi."


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({}, "there are no messages."),
        ({"messages": []}, "there are no messages."),
        ({"messages": "hello"}, "there are no messages."),
        ({"messages": ["hello"]}, "a message should be a table of role and content; str came."),
        ({"messages": [{"role": "user"}]}, "a message should have a role and a content, or from and value, both text."),
        (
            chat(("king", "I"), ("assistant", "a")),
            "a message has the role 'king'; known: system, user, assistant, tool.",
        ),
        (chat(("user", "Hi.")), "no message is the assistant's."),
        (chat(("user", "Hi."), ("assistant", " ")), "the last message of the assistant is empty."),
        (chat(("system", "s"), ("assistant", "a")), "the assistant answers nobody."),
    ],
)
def test_chats_that_cannot_be_used(record, sentence):
    with pytest.raises(Unusable) as reason:
        Layout("chat", "messages").turns(record)
    assert str(reason.value) == sentence


def test_normal_texts_differ_in_words_alone():
    assert normal(" e\u0301\u00a0x\n") == "é x"
    assert normal("a b") != normal("ab")
