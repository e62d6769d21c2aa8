# Copyright: Reconnect contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A scrip action of Request Tracker 5: tells Reconnect that a ticket was made or answered. It names the ticket and no
# more, and signs as Standard Webhooks do. A service that does not answer within 2 s holds up nobody.
#
# Copy it to RT::LocalLibPath, RT/Action/Reconnect.pm, and set in RT_SiteConfig.d:
#   Set($ReconnectURL, 'https://reconnect.example.org/hooks/rt');
#   Set($ReconnectSecret, '...');
# Then make the action and its scrips: rt-setup-database --action insert --datafile initialdata

package RT::Action::Reconnect;

use strict;
use warnings;
use base 'RT::Action';

use Digest::SHA qw(hmac_sha256_base64);
use JSON ();
use LWP::UserAgent ();

sub Prepare { return 1 }

sub Commit {
    my $self = shift;
    my $url = RT->Config->Get('ReconnectURL') or return 1;
    my $secret = RT->Config->Get('ReconnectSecret') or return 1;
    my $transaction = $self->TransactionObj;
    my $id = 'rt-' . $transaction->Id;
    my $at = time;
    my $body = JSON->new->canonical->encode({
        ticket => 0 + $self->TicketObj->Id,
        user   => $transaction->CreatorObj->Name,
    });
    my $signature = hmac_sha256_base64("$id.$at.$body", $secret);
    # Digest::SHA leaves out the padding.
    $signature .= '=' while length($signature) % 4;
    my $agent = LWP::UserAgent->new(timeout => 2, max_redirect => 0);
    my $answer = $agent->post(
        $url,
        'Content-Type'      => 'application/json',
        'webhook-id'        => $id,
        'webhook-timestamp' => $at,
        'webhook-signature' => "v1,$signature",
        Content             => $body,
    );
    RT->Logger->warning('Reconnect was not told of ticket ' . $self->TicketObj->Id . ': ' . $answer->status_line)
        unless $answer->is_success;
    # The ticket is made or answered in any case.
    return 1;
}

1;
